"""Spans of one recording: the samples that each span has by itself, but the file is decoded once."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from auricle.audio import windows as spans_module
from auricle.audio.decode import reader
from auricle.audio.sources import AudioSource
from auricle.audio.windows import SpanReader
from auricle.core.errors import AudioError
from auricle.inference.embedder import Embedder
from helpers.encoders import logmel_stats
from helpers.sounds import tone, write_sound


@pytest.fixture
def file(tmp_path):
    return write_sound(tmp_path / "a.wav", tone(100.0, 8000, 300.0), 8000)


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("order", ["forward", "shuffled"])
def test_every_span_has_the_samples_that_it_has_alone(file, rate, order):
    sources = [AudioSource(f"{i}", file, start=i * 0.7, end=i * 0.7 + 2.1) for i in range(142)]  # the last ends later
    if order == "shuffled":
        random.Random(0).shuffle(sources)
    reading = SpanReader(file, rate, "soxr")
    with ThreadPoolExecutor(3) as pool:
        waves = list(pool.map(reading.read, sources))
    for source, wave in zip(sources, waves):
        assert np.abs(wave - source.read(rate, "soxr")).max() < 1e-6


def test_memory_holds_few_samples(file, monkeypatch):
    monkeypatch.setattr(spans_module, "KEPT_SECONDS", 5.0)
    reading = SpanReader(file, 8000, "soxr")
    for i in range(98):
        reading.read(AudioSource("a", file, start=i, end=i + 2))
        assert len(reading.held) <= 8000 * (5 + 2 + 30)


def test_a_span_far_behind_the_samples_in_memory_is_decoded(file, monkeypatch):
    monkeypatch.setattr(spans_module, "KEPT_SECONDS", 5.0)
    monkeypatch.setattr(spans_module, "SEARCHES", 0)
    reading = SpanReader(file, 8000, "soxr")
    for start in (0, 90):
        source = AudioSource("a", file, start=start, end=start + 2)
        np.testing.assert_allclose(reading.read(source), source.read(8000, "soxr"), atol=1e-6)
        assert len(reading.held) <= 8000 * (5 + 2 + 30)


def test_a_damaged_end_affects_only_the_spans_in_it(file):
    file.write_bytes(file.read_bytes()[: 44 + 2 * 8000 * 50])
    reading = SpanReader(file, 8000, "soxr")
    assert len(reading.read(AudioSource("a", file, start=0, end=5))) == 5 * 8000
    assert len(reading.read(AudioSource("a", file, start=44, end=49))) == 5 * 8000
    with pytest.raises(AudioError, match="truncated"):
        reading.read(AudioSource("a", file, start=48, end=53))


def test_windows_of_a_recording_open_it_a_few_times_whatever_its_length(file, monkeypatch):
    opened, real = [], reader._decoder
    monkeypatch.setattr(reader, "_decoder", lambda *arguments: opened.append(1) or real(*arguments))
    embeddings = Embedder(logmel_stats(), window=0.7, hop=0.7)(file)
    assert (len(embeddings), embeddings.failed) == (143, {})
    assert len(opened) <= 4


def test_spans_that_begin_far_ahead_are_decoded_once_too(file, monkeypatch):
    opened, real = [], reader._decoder
    monkeypatch.setattr(reader, "_decoder", lambda *arguments: opened.append(1) or real(*arguments))
    reading = SpanReader(file, 8000, "soxr")  # as when a run continues
    for i in range(80):
        reading.read(AudioSource("a", file, start=60 + i * 0.4, end=60 + i * 0.4 + 0.5))
    assert len(opened) <= spans_module.SEARCHES + 1
