"""Learning labels of frames: the loss, what mixing does to it, what is scored, and what is refused."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

import auricle
from auricle.cli.main import main
from auricle.commands.finetune.detector import detector_files
from auricle.commands.finetune.finetune import continue_finetune, finetune_run
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.data.augment.mixing import Mix
from auricle.data.datasets.base import Crop, Sample, SampleIndex
from auricle.methods.supervised.clips import mixed_samples
from auricle.methods.supervised.mixing import bce, frame_bce, mixed_labels
from auricle.training.log import read_log
from helpers.finetune_runs import RATE, config, weight_file
from helpers.label_batches import labelled_batch
from helpers.sounds import tone, write_sound
from helpers.stopping import Stop, same, stop_after


def event_table(folder, clips=10, seconds=2.0):
    """Recordings of faint noise in which a tone and a burst of noise begin and end; a table with a row per event."""
    rows = []
    for i in range(clips):
        draw = np.random.default_rng(i)
        wave = draw.normal(0, 0.001, round(seconds * RATE)).astype(np.float32)
        for label in ("tone", "noise"):
            onset = float(draw.uniform(0.1, 1.0))
            offset = onset + float(draw.uniform(0.5, 0.9))
            first, last = round(onset * RATE), round(offset * RATE)
            size = last - first
            sound = (
                tone(size / RATE + 0.1, RATE, 600.0, seed=i)[:size] if label == "tone" else draw.normal(0, 0.2, size)
            )
            wave[first:last] += sound.astype(np.float32)
            rows.append({"filename": f"{i}.wav", "onset": onset, "offset": offset, "event_label": label})
        write_sound(folder / f"{i}.wav", wave, RATE)
    with (folder / "events.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "events.csv"


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return event_table(tmp_path_factory.mktemp("events"))


def test_the_loss_of_frames_is_the_mean_over_the_valid_ones():
    draw = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(2, 4, 3, generator=draw), torch.rand(2, 4, 3, generator=draw)
    valid = torch.tensor([[True, True, True, True], [True, True, False, False]])
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 1]])
    loss = frame_bce(logits, targets, valid, mask=mask)
    frames = [bce(logits[1, t : t + 1], targets[1, t : t + 1], mask=mask[1:])[0] for t in range(2)]
    assert float(loss[1]) == pytest.approx(float(sum(frames)) / 2, rel=1e-6)
    changed = frame_bce(logits.index_fill(1, torch.tensor([3]), 9.0), targets, valid, mask=mask)
    assert float(changed[1]) == float(loss[1])  # padding does not count
    assert float(changed[0]) != float(loss[0])


def test_labels_of_frames_are_mixed_with_the_waveforms():
    def sample(value, known):
        crop = Crop(np.random.default_rng(value).normal(size=8).astype(np.float32), 8, 0.0)
        frames = np.full((3, 2), value, np.float32)
        return Sample(
            "x", SampleIndex(0, 0, 0), crop, 8, None, np.ones(2, np.float32), np.array(known, np.float32), frames
        )

    mixture = mixed_samples(sample(1, [1, 1]), sample(1, [1, 0]), 0.75)
    assert mixture.frame_labels[0].tolist() == [1.0, 0.75]


def test_labels_of_frames_are_mixed_with_the_batch():
    batch = labelled_batch(frame_labels=torch.eye(2).view(2, 1, 2))
    mix = Mix(torch.tensor([0.75, 1.0]), torch.tensor([1, 0]))
    assert mixed_labels(batch, mix).frame_labels[:, 0].tolist() == [[0.75, 0.25], [0.0, 1.0]]


def test_events_are_learnt_and_found(events, tmp_path):
    model = weight_file(tmp_path, "m2d")
    settings = config(
        events, tmp_path / "run", model, level="frames", epochs=25, seconds=1.0, lr=3e-3, background=("none",)
    )
    result = finetune_run(settings, quiet=True)
    assert result.validation["classes_scored"] == 2
    assert result.validation["segment_f"] > 0.8
    assert 0 <= result.validation["event_f"] <= 1
    assert set(result.classes) == {"noise", "tone"}
    assert 0 <= result.validation["psds1"] <= result.validation["psds2"] <= 1
    assert result.validation["psds2"] > 0.2
    assert sum(row["events"] for row in result.classes.values()) > 2
    encoder = auricle.load(result.run)
    assert encoder.info.label_space.ids == ("noise", "tone")
    assert encoder.info.label_space.kind == "multilabel"


def test_thresholds_of_frames_are_fitted_and_tag_uses_them(events, tmp_path):
    model = weight_file(tmp_path, "m2d")
    settings = config(
        events, tmp_path / "run", model, level="frames", epochs=6, seconds=1.0, lr=3e-3, background=("none",)
    )
    settings = with_values(settings, {"calibrate": "on"})
    result = finetune_run(settings, callbacks=detector_files(settings), quiet=True)
    figures = {row["id"]: row for row in result.frames["thresholds"]["classes"]}
    assert figures["tone"]["positives"] > 10
    at = result.frames["scores_at_thresholds"]["valid"]
    assert at["segment_f"] >= result.validation["segment_f"] - 0.1
    tagger = auricle.Tagger(result.run, window=1)
    lowest = dict.fromkeys(figures, 1.0)
    for path in sorted(events.parent.glob("*.wav")):
        for event in tagger(path).results[0].events:
            lowest[event.label] = min(lowest[event.label], event.score)
    for name, row in figures.items():
        assert lowest[name] >= row["threshold"] - 1e-6


@pytest.mark.parametrize("family", ["mn", "dymn", "m2d", "mae-ast-patch"])
def test_every_family_learns_frames(family, events, tmp_path):
    augment = {
        "wave_mixup": 0.5,
        "mixup": 0.3,
        "roll": 2000,
        "gain": 3,
        "label_smoothing": 0.1,
        "class_weights": "balanced",
    }
    model = weight_file(tmp_path, family)
    result = finetune_run(
        config(events, tmp_path / "run", model, level="frames", epochs=1, seconds=1.0, lr=1e-3, **augment), quiet=True
    )
    losses = [row["loss"] for row in read_log(result.run / "metrics.jsonl", "step")]
    assert np.isfinite(losses).all()


def test_a_run_that_learns_frames_continues_to_the_same_weights(events, tmp_path, monkeypatch):
    settings = {"level": "frames", "epochs": 2, "seconds": 1.0, "mixup": 0.3, "checkpoint_steps": 1}
    model = weight_file(tmp_path, "mn")
    finetune_run(config(events, tmp_path / "whole", model, **settings), quiet=True)
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Stop):
            finetune_run(config(events, tmp_path / "cut", model, **settings), quiet=True)
    continue_finetune(tmp_path / "cut", quiet=True)
    same(tmp_path / "whole", tmp_path / "cut")


def test_the_command_line_learns_frames(events, tmp_path, capsys):
    line = ["finetune", str(events), "--model", str(weight_file(tmp_path, "mn")), "--out", str(tmp_path / "run")]
    small = "--level frames --epochs 1 --warmup-epochs 0 --batch-size 4 --workers 0 --device cpu --seconds 1 --frame-hop 0.16"
    small = [*small.split(), "--background", "none"]
    assert main([*line, *small]) == 0
    shown = capsys.readouterr()
    assert "validation: " in shown.out
    assert "segment_f" in shown.out
    assert "classes_scored 2" in shown.out
    assert "class  segment F  event F  onset F  events  found\n" in shown.out
    assert "\nnoise " in shown.out
    assert "\ntone " in shown.out
    assert "frames are 0.16 s apart: " in shown.err
    assert "thresholds for the best F1, from " in shown.out
    assert "at these thresholds, valid: segment_f" in shown.out
    space, kept = auricle.load(tmp_path / "run").info.label_space, tmp_path / "run/evaluations/frame-thresholds.json"
    assert json.loads(kept.read_text())["thresholds"]["values"] == dict(zip(space.ids, space.thresholds))
    assert "frames of the validation part" in space.thresholds_fitted_on
    assert auricle.load(tmp_path / "run").info.hop_seconds == 0.16
    tagger = auricle.Tagger(tmp_path / "run", window=1)
    assert tagger.level == "frames"
    assert tagger(events.parent / "0.wav").results[0].events is not None
    assert "with 18 events" in shown.err or "events" in shown.err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "multiclass"}, "leave --kind multiclass out"),
        ({"scored_by": "both"}, "leave --scored-by both out"),
        ({"short": "repeat"}, "leave --short repeat out"),
        ({"eval_windows": "whole"}, "--eval-windows consecutive"),
        ({"resize_crop": True}, "--resize-crop moves frames or takes them away"),
        ({"loss": "nll"}, "learns with the loss bce"),
        ({"metric": "mAP"}, "applies to"),
        ({"head": "gated-layers"}, "use --head attentive or auto"),
    ],
)
def test_what_does_not_fit_frames_is_refused(changes, message, events, tmp_path):
    with pytest.raises(AuricleError, match=message):
        finetune_run(
            config(events, tmp_path / "run", weight_file(tmp_path, "mn"), level="frames", **changes), quiet=True
        )
    assert not (tmp_path / "run").exists()


def test_recordings_without_events_are_refused(tmp_path):
    write_sound(tmp_path / "sounds" / "tone" / "0.wav", tone(0.5, RATE), RATE)
    with pytest.raises(AuricleError, match="has events; expected a table with a row per event"):
        finetune_run(config(tmp_path / "sounds", tmp_path / "run", weight_file(tmp_path), level="frames"), quiet=True)
