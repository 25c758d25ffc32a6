"""Events of frames begin and end where the sound does, however the recording is cut into windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import auricle
from auricle.core.errors import AuricleError
from auricle.hub.run_folder import learnt_frames
from auricle.inference.events import FrameScores, frame_spans, join_frames
from helpers.tagging import LoudestBand

RATE = 32000


class LoudestFrames(LoudestBand):
    """Logits of every frame: loudness of the lower, middle and upper third of the mel bands, above their common mean."""

    def encode(self, spec, **options):
        out = super().encode(spec, **options)
        thirds = [part.mean(2) for part in out.frames.tensor_split(3, dim=2)]
        logits = [6.0 * (third - sum(thirds) / 3) for third in thirds]
        return replace(out, frame_logits=torch.stack(logits, dim=2))


def pure(seconds: float, hertz: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.mark.parametrize("options", [{}, {"window": 2.0}, {"window": 2.0, "hop": 2.0}, {"window": 1.5, "hop": 0.7}])
def test_events_begin_and_end_where_the_sound_does(options):
    wave = np.concatenate([pure(2.3, 400.0), pure(1.4, 9000.0), pure(1.6, 400.0)])
    tagger = auricle.Tagger(LoudestFrames(), level="frames", **options)
    result = tagger(wave, sample_rate=RATE).results[0]
    assert [event.label for event in result.events] == ["low", "high", "low"]
    times = [time for event in result.events for time in (event.start, event.end)]
    assert times == pytest.approx([0.0, 2.3, 2.3, 3.7, 3.7, 5.3], abs=0.06)
    assert {tag.label for tag in result.tags[:2]} == {"low", "high"}


def test_each_window_gives_the_frames_of_the_part_that_it_decides_for():
    times = np.arange(4) + 0.5
    parts = [FrameScores(np.full((4, 1), float(number)), times) for number in range(2)]
    scores, spans = join_frames(parts, np.array([[0.0, 4.0], [2.0, 6.0]]))
    assert scores[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert spans.tolist() == [[k, k + 1.0] for k in range(6)]


def test_audio_that_no_window_covers_parts_two_events():
    spans = frame_spans(np.array([0.5, 1.5, 9.5, 10.5]), 0.0, 11.0)
    assert spans.tolist() == [[0, 1], [1, 2], [9, 10], [10, 11]]
    assert frame_spans(np.array([0.5]), 0.0, 1.2).tolist() == [[0.0, 1.2]]


def test_frames_are_refused_where_the_encoder_gives_none():
    with pytest.raises(AuricleError, match="gives no scores of frames"):
        auricle.Tagger(LoudestBand(), level="frames")


def test_only_a_run_that_was_trained_on_frames_is_read_by_frames(tmp_path):
    for level in ("clip", "frames"):
        run = tmp_path / level
        run.mkdir()
        (run / "config.yaml").write_text(f"method: supervised\ndata: {{level: {level}}}\n")
        assert learnt_frames(run) == (level == "frames")
    assert not learnt_frames("mn04_as")
    assert not learnt_frames(LoudestBand())
