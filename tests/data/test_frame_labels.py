"""Events become labels of frames: by the centres of the frames, with no event lost, also after a circular shift."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.data.batch import collate
from auricle.data.datasets.base import Crop, Sample, SampleIndex
from auricle.data.datasets.frame_labels import FrameLabels, with_event_labels, without_labels
from auricle.data.manifest.clip_table import Clip, Segment
from auricle.data.manifest.manifest import Manifest

TIMES = np.arange(5) * 0.2 + 0.1  # of a crop of one second
GRID = FrameLabels(("a", "b"), TIMES, 1.0)


def clip(*events, **more):
    return Clip("x.wav", path="x.wav", events=tuple(Segment(*event) for event in events), **more)


def test_a_class_holds_where_the_centre_of_a_frame_lies_in_an_event():
    labels = GRID(clip((0.25, 0.75, "a"), (0.0, 0.3, "b")), 0.0)
    assert labels[:, 0].tolist() == [0, 1, 1, 1, 0] or labels[:, 0].tolist() == [0, 1, 1, 0, 0]
    assert labels[:, 1].tolist() == [1, 0, 0, 0, 0] or labels[:, 1].tolist() == [1, 1, 0, 0, 0]


def test_an_event_between_two_centres_marks_the_nearest_frame():
    assert GRID(clip((0.52, 0.56, "a")), 0.0)[:, 0].tolist() == [0, 0, 1, 0, 0]


def test_events_are_taken_relative_to_the_crop():
    assert GRID(clip((10.0, 10.45, "a")), 10.0)[:, 0].tolist() == [1, 1, 0, 0, 0]
    assert GRID(clip((10.0, 10.45, "a")), 20.0).sum() == 0
    assert GRID(clip((9.97, 10.03, "a")), 10.0).sum() == 0  # a remainder at the edge, not a short event


def test_labels_follow_a_circular_shift():
    still = GRID(clip((0.0, 0.35, "a")), 0.0)
    assert GRID(clip((0.0, 0.35, "a")), 0.0, 0.4).tolist() == np.roll(still, 2, 0).tolist()
    assert GRID(clip((0.0, 0.35, "a")), 0.0, -0.2).tolist() == np.roll(still, -1, 0).tolist()


def test_a_batch_holds_the_labels_of_frames():
    index = SampleIndex(0, 0, 0)
    samples = [
        Sample(f"{i}", index, Crop(np.zeros(8, np.float32), 8, 0.0), 8, None, frame_labels=GRID(clip(event), 0.0))
        for i, event in enumerate([(0.0, 1.0, "a"), (0.5, 1.0, "b")])
    ]
    batch = collate(samples)
    assert batch.frame_labels.shape == (2, 5, 2)
    assert batch.take([1]).frame_labels[0, :, 1].tolist() == [0, 0, 1, 1, 1]


def test_the_labels_of_a_clip_are_the_classes_of_its_events_cut_to_it():
    manifest = Manifest((clip((1.0, 2.0, "b"), (4.0, 6.0, "a"), (0.0, 0.5, "c"), start=1.0, end=5.0),))
    (made,) = with_event_labels(manifest)
    assert made.labels == ("a", "b")
    assert made.events == ((1.0, 2.0, "b"), (4.0, 5.0, "a"))
    (left,) = without_labels(with_event_labels(manifest), ("a",))
    assert left.labels == ("a",)
    assert left.events == ((4.0, 5.0, "a"),)


def test_clips_without_any_event_are_refused():
    with pytest.raises(AuricleError, match="none of the 1 clips has events"):
        with_event_labels(Manifest((clip(),)))
