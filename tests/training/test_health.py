"""A run that goes wrong says so in words: in the log, on the progress line, and by stopping where nothing else helps."""

from __future__ import annotations

import time

import pytest
import torch

from auricle.commands.pretrain import continue_run, pretrain
from auricle.core.errors import AuricleError
from auricle.data.datasets.spectrograms import Spectrograms
from auricle.methods.m2d.objective import M2D
from auricle.methods.m2d.targets import target_statistics
from auricle.training.health import Health, collapse_warnings, waiting_warnings
from auricle.training.log import read_log
from helpers.training_runs import config, prepared


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("data"))


def words_of(run) -> list[str]:
    return [word for row in read_log(run / "metrics.jsonl", "health") for word in row["words"]]


def test_a_healthy_run_warns_of_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setattr("auricle.training.health.WAITING", 1.0)  # the share depends on what else the machine does
    pretrain(config(data, tmp_path / "run"), quiet=True)
    assert words_of(tmp_path / "run") == []


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(data, tmp_path, monkeypatch):
    real, poisoned = M2D.error, iter([False] * 7 + [True])
    monkeypatch.setattr(
        M2D, "error", lambda self, t, p: real(self, t, p) * (torch.nan if next(poisoned, True) else 1.0)
    )
    with pytest.raises(AuricleError, match=r"not finite.*last good state.*--precision float32"):
        pretrain(config(data, tmp_path / "run", state_steps=1, health_interval=1000), quiet=True)
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
