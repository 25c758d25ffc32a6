"""A run that goes wrong says so in words: in the log, on the progress line, and by stopping where nothing else helps."""

from __future__ import annotations

import time

import numpy as np
import pytest
import soundfile
import torch

from auricle.cli.main import main
from auricle.commands.pretrain import continue_run, pretrain
from auricle.core.errors import AuricleError
from auricle.data.batch import Batch
from auricle.data.datasets.spectrograms import Spectrograms
from auricle.data.loading.statistics import Statistics
from auricle.methods.m2d.objective import M2D
from auricle.methods.m2d.targets import target_statistics
from auricle.training.health import Health, collapse_warnings, level_warnings, unusual_clips, waiting_warnings
from auricle.training.log import read_log
from helpers.sounds import tone, write_sound
from helpers.training_runs import config, prepared


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("data"))


def words_of(run) -> list[str]:
    return [message for row in read_log(run / "metrics.jsonl", "health") for message in row["warnings"]]


def test_a_healthy_run_warns_of_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setattr("auricle.training.health.WAITING", 1.0)  # the share depends on what else the machine does
    pretrain(config(data, tmp_path / "run"), quiet=True)
    assert words_of(tmp_path / "run") == []


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(data, tmp_path, monkeypatch):
    real, poisoned = M2D.error, iter([False] * 7 + [True])
    monkeypatch.setattr(
        M2D, "error", lambda self, t, p: real(self, t, p) * (torch.nan if next(poisoned, True) else 1.0)
    )
    with pytest.raises(AuricleError, match=r"not finite.*last good checkpoint.*--precision float32"):
        pretrain(config(data, tmp_path / "run", checkpoint_steps=1, health_interval=1000), quiet=True)
    assert "not finite" in words_of(tmp_path / "run")[0]
    monkeypatch.undo()
    assert continue_run(tmp_path / "run", quiet=True).epochs == 3


def test_an_exploding_gradient_is_reported_with_its_median():
    health = Health()
    for _ in range(20):
        assert health.check(norm=1.0, waiting=0.0, log={}) == []
    assert "exploding: 50, usually 1" in health.check(norm=50.0, waiting=0.0, log={})[0]
    assert health.check(norm=60.0, waiting=0.0, log={}) == []  # said once, not at every look


def test_collapse_to_a_constant_of_the_clip_is_recognised(data, tmp_path, monkeypatch):
    """A target encoder that says one thing per clip: what the published target falls to at small scale."""
    monkeypatch.setattr(M2D, "targets", lambda self, patches, mask: clip_constant(patches, mask))
    pretrain(config(data, tmp_path / "run", batch_size=12, epochs=6), quiet=True)
    assert "collapsing to a constant of the clip" in words_of(tmp_path / "run")[0]


def clip_constant(patches, mask):
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(patches.shape[0], 1, 16, generator=generator)
    return directions.expand(-1, mask.hidden.shape[1], -1) + 0.01 * torch.randn(
        patches.shape[0], mask.hidden.shape[1], 16, generator=generator
    )


def test_the_shares_separate_clip_position_and_constant():
    clip, position = torch.randn(8, 1, 32), torch.randn(1, 20, 32)
    ids = torch.arange(20).expand(8, -1)
    assert target_statistics(clip.expand(-1, 20, -1) - clip.mean(0), ids)["target_clip"] == pytest.approx(1, abs=1e-4)
    by_place = target_statistics((position - position.mean(1, keepdim=True)).expand(8, -1, -1), ids)
    assert by_place["target_position"] == pytest.approx(1, abs=1e-4)
    assert target_statistics(torch.ones(8, 20, 32), ids)["target_constant"] == pytest.approx(1)


def test_a_constant_of_all_clips_and_one_of_each_clip_count_together_as_collapse():
    small = {"target_constant": 0.76, "target_clip": 0.08, "target_position": 0.11, "target_rank": 40.0}
    [(kind, text)] = collapse_warnings(small)  # measured: the published targets of a small M2D after 250 updates
    assert kind == "clip"
    assert "84% of their mean square" in text
    assert "76% for all clips" in text
    assert collapse_warnings({**small, "target_constant": 0.51}) == []


def test_waiting_for_data_is_reported_with_advice(data, tmp_path, monkeypatch):
    real = Spectrograms.crop

    def slow(self, clip, key):
        time.sleep(0.02)
        return real(self, clip, key)

    monkeypatch.setattr(Spectrograms, "crop", slow)
    monkeypatch.setattr("auricle.training.loop.STARTUP_SECONDS", 0.01)
    monkeypatch.setattr("auricle.training.health.WAITING", 0.01)  # a busy machine trains slowly and so waits less
    pretrain(config(data, tmp_path / "run"), quiet=True)
    assert "raise --workers" in words_of(tmp_path / "run")[0]
    monkeypatch.undo()
    assert waiting_warnings(0.1) == []
    assert waiting_warnings(0.3) != []


def batch_of(values, **more) -> Batch:
    ids = tuple(f"{i}.wav" for i in range(len(values)))
    kind = "audio" if values.ndim == 2 else "spec"
    front_end = None if kind == "audio" else "m2d-logmel/16k"
    lengths = torch.full((len(values),), values.shape[-1])
    return Batch(**{kind: values}, rate=16000, lengths=lengths, ids=ids, epoch=0, positions=tuple(range(len(values))),
                 front_end=front_end, **more)  # fmt: skip


def test_a_clip_far_louder_than_the_others_is_named():
    audio = 0.1 * torch.randn(6, 400)
    assert unusual_clips(batch_of(audio)) == ""
    audio[3, 7] = 3e29
    assert unusual_clips(batch_of(audio)).startswith("3.wav peaks at 3e+29 (full scale is 1")
    audio[1, 0] = torch.nan
    assert unusual_clips(batch_of(audio)) == "1.wav holds values that are not finite"
    integers = 3000 * torch.randn(6, 400)  # all alike: nothing to name a clip for
    assert unusual_clips(batch_of(integers)) == ""
    spec = torch.randn(6, 80, 40) - 7
    assert unusual_clips(batch_of(spec)) == ""
    spec[5, 0, 0] = 120.0
    assert "5.wav reaches a log-mel value of 120" in unusual_clips(batch_of(spec))


def test_a_loss_that_a_clip_made_infinite_advises_to_repair_the_clip_and_no_other_rate(tmp_path):
    data = prepared(tmp_path / "data", clips=12)
    values = np.load(data / "lms/005.npy")
    values[:, 3:9, 10:30] = np.inf
    np.save(data / "lms/005.npy", values)
    settings = config(data, tmp_path / "run", norm_stats=(-7.0, 4.0), batch_size=12)
    with pytest.raises(
        AuricleError, match=r"In this batch 005\.wav holds values that are not finite: repair"
    ) as caught:
        pretrain(settings, quiet=True)
    assert "--lr" not in str(caught.value)
    assert "005.wav" in words_of(tmp_path / "run")[-1]


def test_a_jump_of_the_gradient_at_a_loud_clip_names_the_clip():
    health = Health()
    for _ in range(20):
        health.check(norm=1.0, waiting=0.0, log={})
    [text] = health.check(norm=50.0, waiting=0.0, log={}, unusual="3.wav peaks at 3e+29")
    assert "3.wav peaks at 3e+29; check that recording" in text
    assert "--lr" not in text


def test_the_level_of_a_corpus_is_said():
    assert level_warnings(Statistics(-7.1, 4.2), "m2d-logmel/16k") == []
    assert "far louder than full scale" in level_warnings(Statistics(13.0, 4.0), "m2d-logmel/32k")[0]
    assert "hardly vary" in level_warnings(Statistics(-15.9, 0.1), "m2d-logmel/16k")[0]
    assert level_warnings(Statistics(13.0, 4.0), "another") == []


SMALL = {
    "m2d": "--depth 1 --num-heads 2 --embed-dim 16",
    "mae-ast": "--depth 1 --num-heads 2 --embed-dim 16 --decoder-embed-dim 16 --decoder-depth 1",
}


@pytest.mark.parametrize("method", SMALL)
def test_recordings_without_sound_are_refused_in_words(tmp_path, capsys, method):
    for i in range(6):
        write_sound(tmp_path / "audio" / f"{i}.wav", np.zeros(3 * 16000, np.float32))
    line = ["pretrain", str(tmp_path / "audio"), "--method", method, "--out", str(tmp_path / "run"), "--epochs", "1"]
    machine = ["--batch-size", "2", "--device", "cpu", "--workers", "0", "--quiet"]
    assert main([*line, *SMALL[method].split(), *machine]) == 2
    assert "hold no sound" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_floats_at_the_scale_of_integers_train_and_are_pointed_out(tmp_path):
    (tmp_path / "audio").mkdir()
    for i in range(6):
        soundfile.write(tmp_path / "audio" / f"{i}.wav", 20000 * tone(0.7, seed=i), 16000, subtype="FLOAT")
    pretrain(config(tmp_path / "audio", tmp_path / "run", batch_size=2, epochs=2), quiet=True)
    assert "float files that hold integers" in words_of(tmp_path / "run")[0]
