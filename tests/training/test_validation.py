"""Lists that nothing is learnt from: scored the same for any number of workers, ranks and stops, the best state kept."""

from __future__ import annotations

import pytest

from auricle.commands.pretrain import continue_run, pretrain
from auricle.core.errors import AuricleError
from auricle.methods.base import Objective
from auricle.reports.page import build_report
from auricle.training.checkpoint import CheckpointStore
from auricle.training.log import read_log
from helpers.torchrun import torchrun
from helpers.training_runs import config, flags, prepared

LISTS = dict(epochs=4, validate_interval=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """11 clips: the last batch is not full."""
    return str(prepared(tmp_path_factory.mktemp("valid"), clips=11))


def scored(run) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "kind"} for row in read_log(run / "metrics.jsonl", "validation")]


@pytest.fixture(scope="module")
def whole(data, held, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    pretrain(config(data, out, valid=held, test=held, **LISTS), quiet=True)
    return out


def test_m2d_is_scored_every_so_many_epochs_and_at_the_end(whole):
    rows = scored(whole)
    assert [(row["step"], row["epoch"]) for row in rows] == [(12, 2.0), (24, 4.0), (24, 4.0)]
    assert [sorted(k for k in row if "_loss" in k) for row in rows] == [["val_loss"], ["val_loss"], ["test_loss"]]
    assert rows[1]["val_loss"] == rows[2]["test_loss"]


def test_the_best_checkpoint_has_the_lowest_loss(whole):
    best = CheckpointStore(whole / "checkpoints").best()
    lowest = min(scored(whole)[:-1], key=lambda row: row["val_loss"])
    assert (best["state"], -best["score"]) == (f"step-{lowest['micro_step']:09d}", lowest["val_loss"])


def test_validation_does_not_change_the_weights(data, whole, tmp_path):
    pretrain(config(data, tmp_path / "run", epochs=4), quiet=True)
    with_lists, without = (read_log(run / "metrics.jsonl", "step") for run in (whole, tmp_path / "run"))
    assert [row["loss"] for row in with_lists] == [row["loss"] for row in without]


@pytest.mark.parametrize(
    "changes", [dict(workers=2), dict(batch_size=4, validate_interval_updates=12, validate_interval=0)]
)
def test_workers_and_the_way_of_counting_change_no_score(data, held, whole, tmp_path, changes):
    pretrain(config(data, tmp_path / "run", valid=held, **{**LISTS, **changes}), quiet=True)
    assert scored(tmp_path / "run") == scored(whole)[:2]


@pytest.mark.slow
def test_two_ranks_give_the_scores_of_one(data, held, tmp_path, programs):
    """Frozen weights (rate 0), so that both score the same network: rank 1 has one batch of three less."""
    still = dict(LISTS, lr=1e-12, valid=held, optim="sgd", ema_decay_init=1.0, ema_decay=1.0)
    pretrain(config(data, tmp_path / "one", **still), quiet=True)
    torchrun(programs, "-m", "auricle", *flags(data, tmp_path / "two", **still), "--quiet")
    one, two = ([row["val_loss"] for row in scored(tmp_path / name)] for name in ("one", "two"))
    assert two == pytest.approx(one, rel=1e-7)


def test_a_long_list_is_sampled(data, held, tmp_path, monkeypatch):
    monkeypatch.setattr("auricle.methods.data.HELD_OUT_CLIPS", 5)
    seen = []
    real = Objective.validate

    def validate(self, batch, progress, key):
        assert not self.training
        seen.append(batch.ids)
        return real(self, batch, progress, key)

    monkeypatch.setattr(Objective, "validate", validate)
    pretrain(config(data, tmp_path / "run", valid=held, **LISTS), quiet=True)
    tried, *scored_batches = [len(ids) for ids in seen]  # one clip is tried before the run begins
    assert (tried, scored_batches) == (1, [4, 1, 4, 1])
    assert seen[1:3] == seen[3:]


def test_an_evaluation_determines_the_best_checkpoint(data, held, tmp_path):
    settings = config(data, tmp_path / "run", valid=held, eval_freq=2, **LISTS)
    scores = iter([0.7, 0.2])
    pretrain(settings, evaluate=lambda encoder, progress: {"score": next(scores)}, quiet=True)
    assert CheckpointStore(tmp_path / "run/checkpoints").best()["score"] == 0.7


def test_a_finished_run_keeps_its_last_scores_and_computes_missing_ones(data, held, tmp_path):
    out = tmp_path / "run"
    pretrain(config(data, out, valid=held, test=held, **LISTS), quiet=True)
    before = (out / "metrics.jsonl").read_text()
    assert continue_run(out, quiet=True).already
    assert (out / "metrics.jsonl").read_text() == before
    (out / "metrics.jsonl").write_text("".join(before.splitlines(keepends=True)[:-1]))  # killed before the test
    continue_run(out, quiet=True)
    assert (out / "metrics.jsonl").read_text() == before


def test_the_report_shows_the_curve(whole):
    page = build_report(whole)
    assert "Validation loss" in page.read_text()


def test_a_missing_list_is_refused_before_anything_is_written(data, tmp_path):
    with pytest.raises(AuricleError, match="absent.csv does not exist"):
        pretrain(config(data, tmp_path / "run", valid="absent.csv"), quiet=True)
    assert not (tmp_path / "run").exists()
