"""A stream gives the windows and events of the same sound as a recording, however it is cut into chunks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import auricle
from auricle.core.errors import AuricleError
from auricle.inference.config import EventSettings
from auricle.inference.events import find_events
from auricle.inference.head_reader import Scores
from auricle.inference.live.events import EventTracker
from auricle.inference.live.stream import Stream, StreamAnswer
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from helpers.encoders import FAMILIES, mn
from helpers.tagging import LoudestBand

SCORES = 1e-5  # a frame computed with its neighbours in the stream, against in the window


def with_classes(name: str):
    encoder = FAMILIES[name].make()
    named = encoder.info.head_names and encoder.info.label_space
    encoder = encoder if named else encoder.with_classes(4, classes=[(c, c) for c in "abcd"])
    return settled(encoder) if name.startswith(("mn", "dymn")) else encoder


def settled(encoder):
    """Batch norms that have seen sound: with initial ones the scores of a deep network are 0, 1 or the same for all sound."""
    wave = torch.from_numpy(np.stack([bands(1.0, encoder.info.sample_rate, seed) for seed in range(3)]))
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5
    with torch.no_grad():
        for _ in range(6):
            encoder.train()(wave)
    return encoder.eval()


def bands(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Noise and tones that change every half second."""
    draw = np.random.default_rng(seed)
    parts = []
    for _ in range(round(2 * seconds)):
        time = np.arange(rate // 2) / rate
        parts.append(np.sin(2 * np.pi * draw.choice([300.0, 2500.0, 7000.0]) * time) * draw.uniform(0, 0.4))
    wave = np.concatenate(parts)
    return (wave + 0.01 * draw.standard_normal(len(wave))).astype(np.float32)


def chunked(wave: np.ndarray, draw: np.random.Generator, most: int) -> list[np.ndarray]:
    cuts = np.cumsum(draw.integers(0, most, size=2 * len(wave) // most + 8))
    return np.split(wave, cuts[cuts < len(wave)])


def streamed(stream: Stream, chunks: list[np.ndarray], rate: int) -> StreamAnswer:
    answers = [stream.push(chunk, sample_rate=rate) for chunk in chunks]
    return sum([*answers, stream.flush()], StreamAnswer())


def closed(answer: StreamAnswer) -> list[tuple]:
    events = [c for c in answer.changes if c.kind == "closed"]
    return sorted((c.label, round(c.start, 6), round(c.end, 6), round(c.score, 4)) for c in events)


def as_rows(events) -> list[tuple]:
    return sorted((e.label, round(e.start, 6), round(e.end, 6), round(e.score, 4)) for e in events)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_scores_equal_those_of_the_recording_for_every_family_and_chunking(name):
    try:
        encoder = with_classes(name)
    except AuricleError as refused:
        pytest.skip(f"no classes can be added: {refused}")
    rate = encoder.info.sample_rate
    tagger = auricle.Tagger(encoder, window=1.0, hop=0.5, top_k=8)
    wave = bands(3.0, rate)[: -rate // 7]
    offline = tagger(wave, sample_rate=rate).results[0].windows
    draw = np.random.default_rng(7)
    for most in (rate // 20, rate // 3, 4 * rate):
        answer = streamed(Stream(tagger), chunked(wave, draw, most), rate)
        assert [(w.start, w.end) for w in answer.windows] == [(w.start, w.end) for w in offline]
        for mine, theirs in zip(answer.windows, offline):
            scores = dict(zip(tagger.labels, mine.scores))
            assert max(abs(scores[tag.label] - tag.score) for tag in theirs.tags) < SCORES


def test_a_frame_is_computed_once_and_only_the_ends_of_a_window_again():
    stream = Stream(mn(), window=2.0, hop=0.5)
    stream.push(bands(4.0, 32000))
    frames = stream._piece.frames
    assert frames.shared
    assert frames.head + frames.frames - frames.stop < 8
    wave = bands(2.0, 32000)
    _, new = frames._new_frames(wave, frames.stop - 50)
    assert new.shape[1] < 70  # the 50 of a hop, the ends, and what the seam spoils
    odd = Stream(mn(), window=2.0, hop=0.501)  # no whole number of frames: each window by itself
    odd.push(bands(3.0, 32000))
    assert not odd._piece.frames.shared


@pytest.mark.parametrize(
    ("window", "hop", "grids"), [(3.0, 0.5, 2), (2.0, 0.04, 1), (2.0, 0.01, 4), (4.0, 0.33, 4)], ids=str
)
def test_layers_that_see_a_few_frames_are_computed_once_and_give_the_same_scores(window, hop, grids):
    tagger = auricle.Tagger(settled(mn().with_classes(4)), window=window, hop=hop)
    stream, wave = Stream(tagger), bands(window + 4.0, 32000, seed=4)[: round(32000 * (window + 12 * hop))]
    answer = stream.push(wave)
    maps = stream._piece.maps
    assert len(maps.kept) == grids
    assert maps.joined + stream._piece.frames.frames - maps.begin < 0.6 * stream._piece.frames.frames
    assert len(answer.windows) > 2 * grids
    for mine in answer.windows:
        start = round(mine.start * 32000)
        (alone,) = tagger.probabilities(wave[None, start : start + tagger.window])
        assert np.abs(mine.scores - alone).max() < SCORES
    assert np.ptp([w.scores for w in answer.windows], axis=0).max() > 100 * SCORES  # a window is not the next one


def test_a_network_whose_layers_all_see_the_whole_clip_is_computed_whole():
    heads = mn().with_classes(2)
    other = heads.with_head(make_head("linear", heads, 1, seed=3), LabelSpace("multilabel", ("c",)), name="more")
    for encoder in (FAMILIES["dymn"].make().with_classes(2), other):
        assert Stream(encoder, window=3.0, hop=0.5)._piece.maps is None
    assert Stream(heads, window=2.0, hop=1.0)._piece.maps is None  # two grids: nothing is left of a window
    assert Stream(heads, window=3.0, hop=0.5, precision="bf16")._piece.maps is None


@pytest.mark.parametrize("rate", [48000, 44100, 22050])
def test_other_rates_are_resampled_as_a_recording_is(rate):
    tagger = auricle.Tagger(LoudestBand(), window=1.0, hop=0.25, top_k=3)
    wave = bands(4.0, rate)
    offline = tagger(wave, sample_rate=rate).results[0]
    answer = streamed(Stream(tagger), chunked(wave, np.random.default_rng(1), rate // 4), rate)
    assert [w.end for w in answer.windows] == [w.end for w in offline.windows]
    for mine, theirs in zip(answer.windows, offline.windows):
        assert [tag.label for tag in mine.tags] == [tag.label for tag in theirs.tags]
        assert np.abs([a.score - b.score for a, b in zip(mine.tags, theirs.tags)]).max() < SCORES
    assert closed(answer) == as_rows(offline.events)


def test_the_resampler_of_mae_ast_runs_in_a_stream_too():
    encoder = with_classes("mae-ast-patch")
    tagger = auricle.Tagger(encoder, window=1.0, hop=0.5)
    wave = bands(2.2, 44100)
    offline = tagger(wave, sample_rate=44100).results[0].windows
    answer = streamed(Stream(tagger), chunked(wave, np.random.default_rng(1), 9000), 44100)
    assert [w.end for w in answer.windows] == [w.end for w in offline]
    for mine, theirs in zip(answer.windows, offline):
        scores = dict(zip(tagger.labels, mine.scores))
        assert max(abs(scores[tag.label] - tag.score) for tag in theirs.tags) < SCORES


# ---- events
@settings(max_examples=60)
@given(data=st.data())
def test_events_while_they_happen_are_the_events_found_afterwards(data):
    count, median = data.draw(st.integers(1, 14)), data.draw(st.sampled_from([1, 3, 5]))
    hop, size = data.draw(st.sampled_from([0.5, 1.0, 3.0])), 2.0
    draw = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    scores = draw.uniform(0, 1, (count, 3)).astype(np.float32)
    spans = np.array([(i * hop, i * hop + size) for i in range(count)])
    if count > 1:
        spans[-1] -= data.draw(st.sampled_from([0.0, 0.2]))  # the last window is moved back
    thresholds, rule = np.array([0.5, 0.7, 0.9]), EventSettings(median=median)
    expected = find_events(scores, spans, "abc", rule, thresholds)
    tracker = EventTracker("abc", thresholds, rule.hysteresis, median)
    changes = [change for (start, end), row in zip(spans, scores) for change in tracker.add(start, end, row)]
    changes += tracker.finish()
    ended = sorted((c.event for c in changes if c.kind == "closed"), key=lambda e: (e.start, -e.score, e.label))
    assert ended == sorted(expected, key=lambda e: (e.start, -e.score, e.label))
    story = {}
    for change in changes:
        story.setdefault((change.label, change.start), []).append(change.kind)
    for kinds in story.values():  # opened once, closed once, updated between
        assert kinds == ["opened", *["updated"] * (len(kinds) - 2), "closed"]


def test_an_event_that_one_of_four_windows_finds_is_none_unless_the_filter_is_off():
    class Once(Stream):
        def _scores(self, piece):
            level = 0.9 if piece.next == 5 * self.tagger.hop else 0.1
            return {name: Scores(np.full((1, 3), level, np.float32), None) for name in self.tagger.readers}

    wave = np.zeros(4 * 32000, np.float32)
    for median, kinds in ((None, []), (1, ["opened"] * 3 + ["closed"] * 3)):
        stream = Once(auricle.Tagger(LoudestBand(), window=1.0, hop=0.25, median=median))
        assert [c.kind for c in (stream.push(wave) + stream.flush()).changes] == kinds


def test_an_event_says_where_its_score_is_highest():
    tracker = EventTracker("a", np.array([0.5]), 0.6)
    rows = [0.4, 0.6, 0.9, 0.7, 0.1]
    changes = [c for i, row in enumerate(rows) for c in tracker.add(i, i + 1.0, np.array([row], np.float32))]
    assert [(c.kind, round(c.score, 1), c.peak) for c in changes] == [
        ("opened", 0.6, 1.5), ("updated", 0.9, 2.5), ("closed", 0.9, 2.5)
    ]  # fmt: skip
    assert (changes[-1].start, changes[-1].end) == (0.0, 4.0)  # from where the lower threshold was reached


def test_several_heads_are_followed_each_by_itself():
    encoder = mn().with_classes(2, classes=[("a", "a"), ("b", "b")])
    encoder = encoder.with_head(make_head("linear", encoder, 1, seed=3), LabelSpace("multilabel", ("c",)), name="more")
    tagger = auricle.Tagger(encoder, window=1.0, hop=0.5, threshold=0.01)
    wave = bands(2.0, 32000)
    offline = tagger(wave, sample_rate=32000).results[0].heads
    answer = streamed(Stream(tagger), [wave], 32000)
    for name in ("main", "more"):
        assert [w.heads[name].tags[0].label for w in answer.windows] == [w.tags[0].label for w in offline[name].windows]
        mine = [c.event for c in answer.changes if c.kind == "closed" and c.head == name]
        assert as_rows(mine) == as_rows(offline[name].events)


# ---- gaps, clocks, damage, weeks
def test_a_long_gap_begins_a_new_piece_and_a_short_one_is_silence():
    tagger = auricle.Tagger(LoudestBand(), window=1.0, hop=0.5, top_k=3)
    first, second = bands(2.3, 32000), bands(1.7, 32000, seed=1)
    stream = Stream(tagger)
    answer = stream.push(first) + stream.gap(60.0)
    assert {c.kind for c in answer.changes} >= {"closed"}
    answer += stream.push(second) + stream.flush()
    pieces = [(0.0, first), (len(first) / 32000 + 60.0, second)]
    offline = [(at, w) for at, wave in pieces for w in tagger(wave, sample_rate=32000).results[0].windows]
    assert [w.start for w in answer.windows] == pytest.approx([at + w.start for at, w in offline])
    assert [w.tags[0].score for w in answer.windows] == pytest.approx([w.tags[0].score for _, w in offline], abs=SCORES)
    silent = np.concatenate([first, np.zeros(3200, np.float32), second])
    whole = tagger(silent, sample_rate=32000).results[0].windows
    stream = Stream(tagger)
    answer = stream.push(first) + stream.gap(0.1) + stream.push(second) + stream.flush()
    assert [w.start for w in answer.windows] == [w.start for w in whole]
    assert [w.tags[0].score for w in answer.windows] == pytest.approx([w.tags[0].score for w in whole], abs=SCORES)


def test_times_follow_a_clock_that_jumps():
    stream, second = Stream(LoudestBand(), window=1.0, hop=0.5), np.zeros(32000, np.float32)
    assert [w.start for w in stream.push(second, at=1000.0).windows] == [1000.0]
    assert [w.start for w in stream.push(second, at=1001.02).windows] == [1000.5, 1001.0]  # jitter
    assert [w.start for w in stream.push(second, at=1500.0).windows] == [1500.0]
    assert [w.start for w in stream.push(second, at=400.0).windows] == [400.0]  # set back
    assert stream.time == 401.0


def test_a_chunk_of_nan_is_refused_and_the_stream_goes_on():
    tagger, wave = auricle.Tagger(LoudestBand(), window=1.0, hop=0.5), bands(2.0, 32000)
    expected = streamed(Stream(tagger), [wave], 32000)
    stream = Stream(tagger)
    answer = stream.push(wave[:40000])
    for bad in (np.full(9, np.nan, np.float32), np.array(["a"]), wave.reshape(10, 10, -1)):
        with pytest.raises(AuricleError):
            stream.push(bad)
    with pytest.raises(AuricleError, match="sample rate"):
        stream.push(wave, sample_rate=1)
    with pytest.raises(AuricleError, match="seconds"):
        stream.gap(float("nan"))
    answer += stream.push(wave[40000:]) + stream.push(wave[:0]) + stream.flush()
    assert [w.tags for w in answer.windows] == [w.tags for w in expected.windows]


def test_channels_are_averaged():
    stereo = np.stack([bands(1.0, 32000), np.zeros(32000, np.float32)])
    one, other = Stream(LoudestBand(), window=1.0), Stream(LoudestBand(), window=1.0)
    assert one.push(stereo).windows[0].tags == other.push(stereo.mean(0)).windows[0].tags


def size_of(value: object, seen: set[int]) -> int:
    """Bytes of arrays and lengths of containers that an object holds, however deep."""
    if id(value) in seen or isinstance(value, (auricle.Tagger, type)):
        return 0
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, dict):
        return len(value) + sum(size_of(v, seen) for v in value.values())
    if isinstance(value, (list, tuple)) or type(value).__name__ == "deque":
        return len(value) + sum(size_of(v, seen) for v in value)
    return size_of(vars(value), seen) if hasattr(value, "__dict__") else 0


def test_nothing_grows():
    stream, chunk = Stream(LoudestBand(), window=1.0, hop=0.5, median=3), bands(1.0, 44100)
    sizes = []
    for i in range(60):
        stream.push(chunk[: 20000 + 61 * i], sample_rate=44100)
        if i % 20 == 15:
            stream.gap(5.0)
        if i % 20 == 10:
            sizes.append(size_of(stream, set()))
    assert max(sizes) < 1.05 * min(sizes)
    assert max(sizes) < 2e6


def test_what_cannot_be_a_stream_is_refused():
    with pytest.raises(AuricleError, match="too short"):
        Stream(LoudestBand(), window=0.001, hop=0.001)
    with pytest.raises(AuricleError, match="window=10"):
        Stream(auricle.Tagger(LoudestBand()))
    with pytest.raises(AuricleError, match="already"):
        Stream(auricle.Tagger(LoudestBand(), window=1.0), hop=0.5)
    with pytest.raises(AuricleError, match="level"):
        Stream(LoudestBand(), level="frames")
