"""Callbacks of a run: which hooks are called, when, and in which order."""

from __future__ import annotations

import pytest

from auricle.commands.pretrain import continue_run, pretrain
from auricle.training.callbacks import Callback
from helpers.stopping import Stop, stop_after
from helpers.training_runs import config, prepared


class Recorder(Callback):
    """Notes every call."""

    def __init__(self):
        self.calls = []

    def on_log(self, row):
        self.calls.append(f"log {row['kind']} {row['step']}")

    def on_epoch_end(self, trainer, progress):
        self.calls.append(f"epoch {progress.epoch:g}")

    def on_save(self, trainer, checkpoint):
        assert (checkpoint / "weights.safetensors").is_file()
        self.calls.append(f"save {checkpoint.name}")

    def on_end(self, trainer, progress):
        assert (trainer.folder.path / "encoder.safetensors").is_file()
        assert not trainer.folder.card.is_file(), "the card is written last"
        self.calls.append(f"end {progress.step}")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("data"), clips=8)


def settings(data, out):
    return config(data, out, epochs=2, checkpoint_steps=2, health_interval=9)


def test_hooks_are_called_in_order(data, tmp_path):
    recorder = Recorder()
    pretrain(settings(data, tmp_path / "run"), callbacks=(lambda parts, run: [recorder],), quiet=True)
    assert recorder.calls == [
        "log step 0", "log health 0", "log step 1", "log epoch 2", "epoch 1", "save step-000000002",
        "log step 2", "log step 3", "log epoch 4", "epoch 2", "save step-000000004", "end 4",
    ]  # fmt: skip


def test_a_stopped_run_reaches_its_end_once(data, tmp_path, monkeypatch):
    first, second, third = Recorder(), Recorder(), Recorder()
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stop):
            pretrain(settings(data, tmp_path / "run"), callbacks=(lambda parts, run: [first],), quiet=True)
    continue_run(tmp_path / "run", callbacks=(lambda parts, run: [second],), quiet=True)
    continue_run(tmp_path / "run", callbacks=(lambda parts, run: [third],), quiet=True)
    ends = [[call for call in recorder.calls if call.startswith("end")] for recorder in (first, second, third)]
    assert ends == [[], ["end 4"], []]
