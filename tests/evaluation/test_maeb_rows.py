"""Rows of a data set: read whatever their form, embedded alike alone and in any batch, refused by name. No mteb here."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from auricle.core.errors import AuricleError
from auricle.evaluation.suites.maeb.rows import RowPlace, collate_rows, embed_rows
from auricle.inference.embedder import Embedder
from helpers.encoders import FAMILIES

PLACE = RowPlace("Frogs, test")


def sound(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    source = np.random.default_rng(seed)
    times = np.arange(max(1, round(seconds * rate))) / rate
    return (0.3 * np.sin(2 * np.pi * 700 * times) + 0.1 * source.normal(size=len(times))).astype(np.float32)


def row(samples, rate: int = 16000, **more) -> dict:
    return {"array": samples, "sampling_rate": rate, **more}


def wav(samples: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.mark.parametrize(
    "family", ["m2d", "m2d-ragged-chunks", "mae-ast-patch", "mae-ast-frame", "mn", "dymn", "logmel-stats", "ensemble"]
)
def test_a_row_has_one_embedding_alone_and_among_longer_and_shorter_rows(family):
    embedder = Embedder(FAMILIES[family].make())
    rows = [row(sound(seconds, seed=i)) for i, seconds in enumerate([0.5, 3.7, 0.0001, 0.5, 1.3])]
    together = embed_rows(embedder, rows, PLACE)
    alone = np.concatenate([embed_rows(embedder, [one], PLACE) for one in rows])
    assert together.shape == (5, embedder.info.clip_dim)
    np.testing.assert_allclose(together, alone, atol=1e-4, rtol=1e-4)
    assert np.abs(together[0] - together[1]).max() > 1e-3  # the rows are told apart


@pytest.mark.parametrize(
    ("samples", "same"),
    [
        (lambda wave: np.round(wave * 32768).astype(np.int16), 1e-3),
        (lambda wave: np.round(wave * 2147483647).astype(np.int32), 1e-4),
        (lambda wave: wave.tolist(), 1e-6),
        (lambda wave: wave.astype(np.float64), 1e-6),
        (lambda wave: np.stack([wave, wave]), 1e-6),
        (lambda wave: np.stack([wave, wave], 1), 1e-6),
    ],
    ids=["int16", "int32", "list", "float64", "channels first", "channels last"],
)
def test_samples_of_every_form_give_the_embedding_of_the_mono_waveform(samples, same):
    embedder, wave = Embedder(FAMILIES["logmel-stats"].make()), sound(0.6)
    want = embed_rows(embedder, [row(wave)], PLACE)
    np.testing.assert_allclose(embed_rows(embedder, [row(samples(wave))], PLACE), want, atol=20 * same)


def test_files_and_samples_at_another_rate_are_resampled_as_every_recording_is():
    embedder, wave = Embedder(FAMILIES["logmel-stats"].make()), sound(0.6, 44100)
    want = embedder(wave, sample_rate=44100).clip
    for one in (row(wave, 44100), {"bytes": wav(wave, 44100), "path": "frog.wav"}):
        np.testing.assert_array_equal(embed_rows(embedder, [one], PLACE), want)
    lower = embed_rows(embedder, [row(wave, 44100)], RowPlace("Frogs, test", sample_rate=8000))
    assert np.abs(lower - want).max() > 1  # the data set declares 8 kHz: nothing above 4 kHz is left


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row(np.zeros(0, np.float32)), "Frogs, test, row 7: the waveform is empty"),
        (row(np.array([0.1, np.nan], np.float32)), "Frogs, test, row 7: holds NaN"),
        (row(np.array([1, 2, 3])), "Frogs, test, row 7: samples of type int64 have no known full scale"),
        (row(sound(0.1), None), "Frogs, test, row 7: a waveform needs its sample rate"),
        (None, "Frogs, test, row 7 holds no audio"),
        ({"bytes": b"no sound", "path": "a.wav"}, "Frogs, test, row 7 (a.wav)"),
        ({"bytes": wav(np.zeros(0, np.float32), 16000), "path": "e.wav"}, "row 7 (e.wav): holds no samples"),
        ({"label": 3}, "Frogs, test, row 7"),
    ],
    ids=["empty", "NaN", "int64", "no rate", "no audio", "no sound", "empty file", "no entry"],
)
def test_a_row_that_cannot_be_read_is_named(bad, words):
    embedder = Embedder(FAMILIES["logmel-stats"].make())
    with pytest.raises(AuricleError) as caught:
        embed_rows(embedder, [row(sound(0.2)), bad, row(sound(0.2))], PLACE, first=6)
    assert words in str(caught.value)


def test_a_batch_holds_lists_and_nothing_is_padded():
    batch = collate_rows([{"audio": row(sound(0.1)), "label": 1}, {"audio": row(sound(0.2)), "label": 2}])
    assert [len(audio["array"]) for audio in batch["audio"]] == [1600, 3200]
    assert batch["label"] == [1, 2]
