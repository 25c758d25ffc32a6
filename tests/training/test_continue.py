"""A run continues to the same numbers: after Ctrl-C, after being killed at any moment, with damaged states, on a full disk."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from auricle.commands.pretrain import continue_run, pretrain
from auricle.core.errors import AuricleError
from auricle.core.io import sha256_of
from auricle.hub.warm_start import resume
from auricle.methods.m2d.data import open_clips
from auricle.methods.registry import method_of
from auricle.training.checkpoint import CheckpointStore
from auricle.training.distributed import dist_context
from auricle.training.log import read_log
from auricle.training.loop import Trainer
from auricle.training.optimizers import TrainingLength
from helpers.patience import PATIENCE
from helpers.stopping import Stop, same, stop_after, weights
from helpers.training_runs import config, flags, prepared

KILLS = 10


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that nothing ever stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    pretrain(config(data, out, accum_iter=2, epochs=4, save_freq=1), quiet=True)
    return out


def test_checkpoints_by_time_come_between_weight_updates(data, whole, tmp_path, monkeypatch):
    """Not in the middle of an accumulation group, whose first gradients a continued run would lack."""
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        always = dict(accum_iter=2, epochs=4, save_freq=1, checkpoint_minutes=0.0, keep_checkpoints=9)
        with pytest.raises(Stop):
            pretrain(config(data, tmp_path / "run", **always), quiet=True)
    saved = CheckpointStore(tmp_path / "run/checkpoints").checkpoints()
    assert [path.name for path in saved] == ["step-000000004", "step-000000002"]
    continue_run(tmp_path / "run", quiet=True)
    same(whole, tmp_path / "run")


@pytest.mark.parametrize("micro_steps", [1, 5, 6, 7, 15])
def test_a_run_cut_anywhere_continues_to_the_same_weights(data, whole, tmp_path, monkeypatch, micro_steps):
    with monkeypatch.context() as patch:
        stop_after(patch, micro_steps)
        with pytest.raises(Stop):
            pretrain(
                config(data, tmp_path / "run", accum_iter=2, epochs=4, save_freq=1, checkpoint_steps=1), quiet=True
            )
    continue_run(tmp_path / "run", quiet=True)
    same(whole, tmp_path / "run")


@pytest.mark.parametrize("micro_steps", [3, 6, 24])
def test_a_run_interrupted_inside_or_at_the_end_of_an_epoch_continues_completely(
    data, whole, tmp_path, monkeypatch, micro_steps
):
    real, count = Trainer.train_batch, iter(range(1, 99))

    def micro(self, batch, progress):
        if next(count) == micro_steps:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, batch, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_batch", micro)
        with pytest.raises(KeyboardInterrupt, match="stopped and saved"):
            pretrain(config(data, tmp_path / "run", accum_iter=2, epochs=4, save_freq=1), quiet=True)
    assert not (tmp_path / "run" / "card.md").is_file()
    continue_run(tmp_path / "run", quiet=True)
    same(whole, tmp_path / "run")


def test_the_number_of_workers_changes_nothing(data, whole, tmp_path):
    for workers in (1, 2):
        settings = dict(accum_iter=2, epochs=4, save_freq=1, workers=workers)
        pretrain(config(data, tmp_path / str(workers), **settings), quiet=True)
        same(whole, tmp_path / str(workers))


def test_continuing_a_finished_run_prints_that_it_is_finished(whole):
    result = continue_run(whole, quiet=True)
    assert result.already
    assert result.epochs == 4


def test_a_damaged_state_is_named_and_the_one_before_it_used(data, whole, tmp_path, monkeypatch, capsys):
    run = cut_run(data, tmp_path, monkeypatch)
    newest = CheckpointStore(run / "checkpoints").checkpoints()[0]
    file = newest / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    continue_run(run)
    assert f"{newest.name} is damaged (weights.safetensors is truncated or altered)" in capsys.readouterr().err
    same(whole, run)


def test_a_run_without_a_usable_checkpoint_is_refused(data, tmp_path, monkeypatch):
    run = cut_run(data, tmp_path, monkeypatch)
    for state in CheckpointStore(run / "checkpoints").checkpoints():
        (state / "optimizer.safetensors").write_bytes(b"")
    with pytest.raises(AuricleError, match="no usable checkpoint"):
        continue_run(run, quiet=True)


def cut_run(data: Path, tmp_path: Path, monkeypatch) -> Path:
    with monkeypatch.context() as patch:
        stop_after(patch, 13)
        with pytest.raises(Stop):
            pretrain(
                config(data, tmp_path / "run", accum_iter=2, epochs=4, save_freq=1, checkpoint_steps=1), quiet=True
            )
    return tmp_path / "run"


def test_the_last_states_are_kept_and_no_more(data, tmp_path):
    pretrain(config(data, tmp_path / "run", checkpoint_steps=1, keep_checkpoints=3), quiet=True)
    assert [s.name for s in CheckpointStore(tmp_path / "run/checkpoints").checkpoints()] == [
        f"step-{n:09d}" for n in (18, 17, 16)
    ]


def test_the_best_state_is_kept_beside_the_last(data, tmp_path):
    scores = iter([0.1, 0.9, 0.3, 0.2])
    settings = config(data, tmp_path / "run", epochs=4, eval_freq=1, keep_checkpoints=1)
    pretrain(settings, evaluate=lambda encoder, progress: {"score": next(scores)}, quiet=True)
    store = CheckpointStore(tmp_path / "run/checkpoints")
    assert store.best() == {"state": "step-000000012", "score": 0.9}
    assert len(store.checkpoints()) == 2
    assert (tmp_path / "run/encoder-best.safetensors").is_file()


def test_a_failing_evaluation_never_stops_a_run(data, tmp_path):
    def broken(encoder, progress):
        raise RuntimeError("no such task")

    assert pretrain(config(data, tmp_path / "run", eval_freq=1), evaluate=broken, quiet=True).epochs == 3


def test_changed_settings_are_named_and_refused_unless_allowed(data, tmp_path, monkeypatch):
    run = cut_run(data, tmp_path, monkeypatch)
    with pytest.raises(AuricleError, match=r"train.lr.*--allow lr"):
        continue_run(run, {"lr": 5e-4}, quiet=True)
    assert continue_run(run, {"log_interval": 2}, allow=("log_interval",), quiet=True).epochs == 4


def test_changed_data_are_refused(data, tmp_path, monkeypatch):
    copy = prepared(tmp_path / "data", clips=24)
    run = cut_run(copy, tmp_path, monkeypatch)
    manifest = (copy / "manifest.csv").read_text().splitlines()
    (copy / "manifest.csv").write_text("\n".join(manifest[:-1]) + "\n")
    with pytest.raises(AuricleError, match="the data changed"):
        continue_run(run, quiet=True)


def test_a_run_is_never_overwritten(data, whole):
    with pytest.raises(AuricleError, match="--continue"):
        pretrain(config(data, whole), quiet=True)


def test_too_few_clips_for_one_update_are_refused_in_numbers(data, tmp_path):
    with pytest.raises(AuricleError, match="takes 96 clips .* there are 24"):
        pretrain(config(data, tmp_path / "run", batch_size=48, accum_iter=2), quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_second_process_on_one_run_is_told_who_trains_and_changes_nothing(data, tmp_path, programs):
    out = tmp_path / "run"
    first = start(flags(data, out, epochs=100_000, workers=2))
    wait_for(lambda: (out / "metrics.jsonl").is_file() and (out / "metrics.jsonl").stat().st_size > 2000, first)
    commands = (out / "command.txt").read_text()
    quick = str(programs / "python")
    second = start(["pretrain", "--continue", str(out)], quick)
    _, words = second.communicate(timeout=PATIENCE)
    assert second.returncode == 2
    assert f"the run {out} is in use by process {first.pid} on" in words
    assert "wait until that has ended" in words
    assert (out / "command.txt").read_text() == commands
    third = start(flags(data, out, epochs=3), quick)
    assert third.wait(timeout=PATIENCE) == 2
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    again = start(["pretrain", "--continue", str(out), "--allow", "stop_at", "--stop-at", "1"], quick)
    _, words = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, words


def test_a_full_disk_leaves_the_last_good_state(data, tmp_path, monkeypatch):
    run = cut_run(data, tmp_path, monkeypatch)
    before = [s.name for s in CheckpointStore(run / "checkpoints").checkpoints()]

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("auricle.training.checkpoint.save_file", full)
        with pytest.raises(AuricleError, match=r"No space left.*last good checkpoint is intact"):
            continue_run(run, quiet=True)
    assert [s.name for s in CheckpointStore(run / "checkpoints").checkpoints()] == before
    assert not list((run / "checkpoints").glob(".partial*"))


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from auricle.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("size", [3_000, 20_000, 90_000])  # the description, the weights, the optimiser do not fit
def test_a_disk_that_takes_no_checkpoint_ends_the_run_in_one_line_and_it_goes_on(data, tmp_path, programs, size):
    line = [
        str(programs / "python"),
        "-c",
        LIMITED,
        str(size),
        *flags(data, tmp_path / "run", checkpoint_steps=2),
        "--quiet",
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert "File too large; make room there" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert continue_run(tmp_path / "run", quiet=True).epochs == 3


def test_accumulation_equals_the_larger_batch(data, tmp_path):
    same_teacher = dict(ema_decay_init=0.9, ema_decay=0.9, optim="sgd")  # its schedule counts micro-steps, as published
    pretrain(config(data, tmp_path / "large", batch_size=8, **same_teacher), quiet=True)
    pretrain(config(data, tmp_path / "parts", batch_size=2, accum_iter=4, **same_teacher), quiet=True)
    large, parts = weights(tmp_path / "large"), weights(tmp_path / "parts")
    for name, value in large.items():
        torch.testing.assert_close(parts[name], value, atol=2e-6, rtol=1e-4)


def test_an_incomplete_group_ends_with_its_epoch():
    plan = TrainingLength.of(11, config(Path("x"), Path("y"), batch_size=1, accum_iter=3, epochs=2).train)
    assert (plan.per_epoch, plan.steps, plan.micro_steps) == (11, 6, 22)
    assert [plan.in_group(i) for i in range(11)] == [0, 1, 2, 0, 1, 2, 0, 1, 2, None, None]
    assert [plan.at(i).step for i in (0, 3, 9, 10, 11, 14)] == [0, 1, 3, 3, 3, 4]


def test_max_updates_end_in_the_middle_of_an_epoch(data, tmp_path):
    result = pretrain(config(data, tmp_path / "run", max_updates=8, warmup_updates=2), quiet=True)
    assert result.steps == 8
    rates = [row["lr"] for row in read_log(tmp_path / "run/metrics.jsonl", "step")]
    assert len(rates) == 8
    assert rates[0] == 0
    assert max(rates) == rates[2]


def test_stop_at_ends_early_and_the_schedule_spans_all(data, tmp_path, whole):
    out = tmp_path / "run"
    assert pretrain(config(data, out, accum_iter=2, epochs=4, save_freq=1, stop_at=2), quiet=True).epochs == 2
    continue_run(out, {"stop_at": 0}, allow=("stop_at",), quiet=True)
    same(whole, out)


def test_allowed_changes_stay_and_an_interrupted_end_leaves_no_card(data, tmp_path, monkeypatch):
    out = tmp_path / "run"
    pretrain(config(data, out, epochs=4, stop_at=1, checkpoint_steps=1), quiet=True)
    assert (out / "card.md").is_file()
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stop):
            continue_run(out, {"stop_at": 0}, allow=("stop_at",), quiet=True)
    assert not (out / "card.md").exists()
    assert continue_run(out, quiet=True).epochs == 4


def test_a_run_that_would_begin_after_its_end_is_refused(data, tmp_path):
    with pytest.raises(AuricleError, match="lies behind --stop-at 1"):
        config(data, tmp_path / "run", start_epoch=2, stop_at=1)
    with pytest.raises(AuricleError, match="nothing is left"):
        pretrain(config(data, tmp_path / "run", max_updates=5, warmup_updates=1, start_epoch=4), quiet=True)
    assert not (tmp_path / "run").exists()


def two_states(whole: Path, run: Path) -> list[Path]:
    """A copy of a run with its newest state under an older name too."""
    shutil.copytree(whole, run)
    newest = CheckpointStore(run / "checkpoints").checkpoints()[0]
    shutil.copytree(newest, newest.with_name("step-000000001"))
    return CheckpointStore(run / "checkpoints").checkpoints()[:2]


@pytest.mark.parametrize(
    "text", [b"\xff\xfe", b'{"format": 1, "sha256": [1]}', b'{"format": 1, "sha256": {}, "where": {}}', None]
)
def test_a_state_whose_description_is_damaged_or_lost_is_passed_over(data, whole, tmp_path, text):
    newest, before = two_states(whole, tmp_path / "run")
    (newest / "state.json").unlink()
    if text is not None:
        (newest / "state.json").write_bytes(text)
    (tmp_path / "run/checkpoints/best.json").write_text("")
    said = []
    assert CheckpointStore(tmp_path / "run/checkpoints").read(said.append).path == before
    assert "is damaged" in said[0]
    assert CheckpointStore(tmp_path / "run/checkpoints").best() is None


def test_a_run_with_a_damaged_state_still_gives_its_weights(data, whole, tmp_path):
    newest, _ = two_states(whole, tmp_path / "run")
    (newest / "weights.safetensors").write_bytes(b"")
    assert not resume(fresh_objective(config(data, tmp_path / "other")), tmp_path / "run").missing


def test_resume_starts_from_weights_and_reports_every_name(data, whole, tmp_path):
    fresh = fresh_objective(config(data, tmp_path / "run"))
    told = resume(fresh, whole)
    assert not told.missing
    assert not told.unexpected
    assert torch.equal(fresh.online.cls_token, weights(whole)["online.cls_token"])
    told = resume(fresh, whole / "encoder.safetensors")
    assert all(name.startswith(("predictor.", "target.")) for name in told.missing)
    other = fresh_objective(config(data, tmp_path / "run", embed_dim=32))
    with pytest.raises(AuricleError, match="other sizes"):
        resume(other, whole)


def fresh_objective(settings):
    with dist_context("cpu") as ranks:
        return method_of(settings).build(settings, open_clips(settings, ranks))


def start(words: list[str], python: str = sys.executable) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [python, "-m", "auricle", *words, "--quiet"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 0), (signal.SIGINT, 2), (signal.SIGTERM, 2)])
def test_ctrl_c_and_sigterm_save_a_checkpoint_and_print_how_to_continue(data, tmp_path, number, workers):
    out = tmp_path / "run"
    process = start(flags(data, out, epochs=4000, workers=workers))
    wait_for(lambda: (out / "metrics.jsonl").is_file() and (out / "metrics.jsonl").stat().st_size > 2000, process)
    os.killpg(process.pid, number)
    _, words = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert f"auricle pretrain --continue {out}" in words
    assert CheckpointStore(out / "checkpoints").checkpoints()


def running(process) -> bool:
    return process.is_alive() if hasattr(process, "is_alive") else process.poll() is None


def wait_for(condition, process, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition() and running(process) and time.monotonic() < end:
        time.sleep(0.002)


def fork(job) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=job)
    process.start()
    return process


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_no_bit(data, tmp_path):
    settings = dict(accum_iter=2, epochs=120, checkpoint_steps=2)
    whole, out = tmp_path / "whole", tmp_path / "run"
    pretrain(config(data, whole, **settings), quiet=True)
    moments, kills = random.Random(0), 0

    def go() -> None:
        torch.set_num_threads(1)
        started = (out / "config.yaml").is_file()
        continue_run(out, quiet=True) if started else pretrain(config(data, out, **settings), quiet=True)

    for kind in ["step", "saving", "epoch", "any"] * 3:
        process = fork(go)
        wait_for_moment(kind, out, process, moments)
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        if kills == KILLS:
            break
    assert kills == KILLS
    continue_run(out, quiet=True)
    same(whole, out)


def wait_for_moment(kind: str, out: Path, process, moments: random.Random) -> None:
    """Let the run get on a little, then until it saves, ends an epoch, or for a random while."""
    log = out / "metrics.jsonl"
    size = log.stat().st_size if log.is_file() else 0
    wait_for(lambda: log.is_file() and log.stat().st_size > size + moments.randrange(1000, 6000), process)
    if kind == "saving":
        wait_for(lambda: any(out.glob("checkpoints/.partial*")), process)
    elif kind == "epoch":
        wait_for(lambda: json.loads(last_line(log)).get("kind") == "epoch", process)
    elif kind == "any":
        time.sleep(moments.random() * 0.1)


def last_line(path: Path) -> str:
    lines = path.read_text().splitlines()
    try:
        json.loads(lines[-1])
    except (json.JSONDecodeError, IndexError):
        return "{}"
    return lines[-1]


def test_a_checkpoint_of_weights_that_are_no_numbers_is_passed_over(whole, tmp_path):
    newest, before = two_states(whole, tmp_path / "run")
    weights = load_file(newest / "weights.safetensors")
    first = next(name for name, value in weights.items() if value.is_floating_point())
    weights[first].view(-1)[0] = math.nan
    save_file(weights, newest / "weights.safetensors")
    state = json.loads((newest / "state.json").read_text())
    state["sha256"]["weights.safetensors"] = sha256_of(newest / "weights.safetensors")
    (newest / "state.json").write_text(json.dumps(state))
    said = []
    assert CheckpointStore(tmp_path / "run/checkpoints").read(said.append).path == before
    assert "hold NaN or infinity" in said[0]
