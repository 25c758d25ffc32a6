"""The cache computes once, keys on everything that changes a number, and never trusts a damaged file."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from auricle.audio.decode import reader
from auricle.core.errors import AudioError
from auricle.embeddings import cache as cache_module
from auricle.embeddings.cache import EmbeddingCache, cache_key
from auricle.inference.config import EmbedSettings
from auricle.inference.embedder import embed
from helpers.encoders import logmel_stats, m2d
from helpers.evaluation_data import corpus
from helpers.paths import TESTS
from helpers.patience import PATIENCE

SETTINGS = EmbedSettings(seconds=0.2)


@pytest.fixture
def manifest(tmp_path):
    return corpus(tmp_path / "audio", per_class=2)


@pytest.fixture
def cache(tmp_path):
    return EmbeddingCache(tmp_path / "cache")


def files(cache):
    return sorted(cache.folder.rglob("*.safetensors"))


def test_the_second_time_touches_no_audio(manifest, cache):
    first = cache.embed(manifest, logmel_stats(), SETTINGS)
    assert cache.computed == len(manifest)
    shutil.rmtree(manifest.root)
    again = cache.embed(manifest, logmel_stats(), SETTINGS)
    assert cache.computed == len(manifest)
    assert again.ids == first.ids
    assert np.array_equal(again.clip, first.clip)


def test_cached_embeddings_equal_computed_ones(manifest, cache):
    fresh = embed(manifest, m2d(), settings=SETTINGS)
    cache.embed(manifest, m2d(), SETTINGS)
    assert np.array_equal(cache.embed(manifest, m2d(), SETTINGS).clip, fresh.clip)


def test_everything_that_changes_a_number_is_in_the_key(manifest):
    encoder = m2d()
    base = cache_key(manifest, encoder, SETTINGS)
    others = [
        cache_key(manifest, encoder.with_stats(0.0, 2.0), SETTINGS),
        cache_key(manifest, m2d(depth=1), SETTINGS),
        cache_key(manifest.select(fold=1), encoder, SETTINGS),
        cache_key(replace(manifest, clips=tuple(replace(c, end=0.1) for c in manifest)), encoder, SETTINGS),
    ]
    changes = {"seconds": 0.1, "crop": "random", "pooling": "max", "padding": "published", "precision": "bfloat16"}
    others += [cache_key(manifest, encoder, replace(SETTINGS, **{name: value})) for name, value in changes.items()]
    others.append(cache_key(manifest, encoder, replace(SETTINGS, crop="random", crop_seed=1)))
    others.append(cache_key(manifest, encoder, replace(SETTINGS, padding="published", batch_size=3)))
    assert len({base, *others}) == len(others) + 1


def test_labels_and_batch_size_are_not_in_the_key(manifest):
    other = replace(manifest, clips=tuple(replace(c, labels=("x",), fold=None) for c in manifest))
    assert cache_key(manifest, m2d(), SETTINGS) == cache_key(other, m2d(), replace(SETTINGS, batch_size=1, workers=1))


def test_a_new_code_format_is_another_key(manifest, monkeypatch):
    before = cache_key(manifest, m2d(), SETTINGS)
    monkeypatch.setattr(cache_module, "CODE_FORMAT", 10**6)
    assert cache_key(manifest, m2d(), SETTINGS) != before


def test_all_blocks_come_from_one_pass_and_serve_each_alone(manifest, cache):
    every = cache.embed(manifest, m2d(), replace(SETTINGS, layers=("all",)))
    one = cache.embed(manifest, m2d(), replace(SETTINGS, layers=("1",)))
    assert cache.computed == len(manifest)
    assert np.array_equal(one.clip, every.layer(1))


@pytest.mark.parametrize("damage", ["cut", "flipped", "text"])
def test_a_damaged_file_is_named_and_computed_again(manifest, cache, damage):
    first = cache.embed(manifest, logmel_stats(), SETTINGS)
    (file,) = files(cache)
    content = bytearray(file.read_bytes())
    content[-5] ^= 0xFF
    file.write_bytes({"cut": bytes(content[:100]), "flipped": bytes(content), "text": b"hello"}[damage])
    again = cache.embed(manifest, logmel_stats(), SETTINGS)
    assert np.array_equal(again.clip, first.clip)
    assert cache.computed == 2 * len(manifest)
    assert str(file) in cache.notes[0]
    cache.embed(manifest, logmel_stats(), SETTINGS)
    assert len(cache.notes) == 1


def test_changed_audio_is_computed_again(manifest, cache):
    cache.embed(manifest, logmel_stats(), SETTINGS)
    file = manifest.root / "low-0.wav"
    os.utime(file, ns=(1, 1))
    cache.embed(manifest, logmel_stats(), SETTINGS)
    assert cache.computed == len(manifest) + 1
    assert "low-0.wav" in cache.notes[0]
    cache.embed(manifest, logmel_stats(), SETTINGS)
    assert len(cache.notes) == 1


def test_a_broken_file_does_not_affect_others_and_is_read_once_it_is_repaired(manifest, cache):
    file = manifest.root / "low-0.wav"
    sound = file.read_bytes()
    file.write_text("no audio")
    for _ in range(2):
        assert set(cache.embed(manifest, logmel_stats(), SETTINGS).failed) == {"low-0.wav"}
    assert cache.computed == len(manifest) - 1
    file.write_bytes(sound)
    assert not cache.embed(manifest, logmel_stats(), SETTINGS).failed


def replaced_while_read(monkeypatch, file, sounds):
    """Another recording takes the place of ``file`` each time that it was decoded, as long as there are others."""
    real, others = reader._decoder, list(sounds)

    def decoder(path, called, *more):
        opened = real(path, called, *more)
        if called.endswith(file.name) and others:
            file.write_bytes(others.pop(0))
        return opened

    monkeypatch.setattr("auricle.audio.decode.reader._decoder", decoder)


@pytest.mark.parametrize("times", [1, 2])
def test_a_recording_that_is_replaced_while_it_is_read_is_read_again(manifest, cache, monkeypatch, times):
    file = manifest.root / "low-0.wav"
    others = [(manifest.root / name).read_bytes() + bytes(2 * i) for i, name in enumerate(["high-0.wav", "high-1.wav"])]
    with monkeypatch.context() as patch:
        replaced_while_read(patch, file, others[:times])
        found = cache.embed(manifest, logmel_stats(), SETTINGS)
    assert not found.failed
    fresh = embed(manifest, logmel_stats(), settings=SETTINGS)
    assert np.array_equal(found.clip, fresh.clip)
    assert np.array_equal(cache.embed(manifest, logmel_stats(), SETTINGS).clip, fresh.clip)


def test_a_recording_that_never_stays_the_same_is_named_and_not_kept(manifest, cache, monkeypatch):
    file = manifest.root / "low-0.wav"
    with monkeypatch.context() as patch:
        replaced_while_read(patch, file, [file.read_bytes() + bytes(2 * i) for i in range(1, 9)])
        found = cache.embed(manifest, logmel_stats(), SETTINGS)
    assert list(found.failed) == ["low-0.wav"]
    assert "changed each time" in found.failed["low-0.wav"]
    assert cache.computed == len(manifest) - 1
    assert not cache.embed(manifest, logmel_stats(), SETTINGS).failed


def without_a_library(name: str):
    real = reader._decoder

    def decoder(file, called, *more):
        if called.endswith(name):
            raise AudioError(f"{called}: needs the [media] extra")
        return real(file, called, *more)

    return decoder


def test_clips_that_failed_are_tried_again_although_the_file_is_the_same(manifest, cache, monkeypatch):
    embed = cache.embed
    with monkeypatch.context() as patch:
        patch.setattr("auricle.audio.decode.reader._decoder", without_a_library("low-0.wav"))
        assert set(embed(manifest, logmel_stats(), SETTINGS).failed) == {"low-0.wav"}
    again = embed(manifest, logmel_stats(), SETTINGS)
    assert (again.ids, again.failed) == (manifest.ids, {})
    assert cache.computed == len(manifest)
    assert np.array_equal(again.clip, embed(manifest, logmel_stats(), SETTINGS).clip)


def test_any_selection_uses_what_was_computed_for_another(manifest, cache):
    half = manifest.select(fold=1)
    first = cache.embed(half, logmel_stats(), SETTINGS)
    whole = cache.embed(manifest, logmel_stats(), SETTINGS)
    assert cache.computed == len(manifest)
    rows = [whole.ids.index(id) for id in first.ids]
    assert np.array_equal(whole.clip[rows], first.clip)


def test_a_random_part_is_keyed_by_the_id_and_a_fixed_one_by_the_file(manifest, cache):
    renamed = replace(manifest, clips=tuple(replace(clip, id=f"new {clip.id}") for clip in manifest))
    fixed = cache.embed(manifest, logmel_stats(), SETTINGS)
    assert np.array_equal(cache.embed(renamed, logmel_stats(), SETTINGS).clip, fixed.clip)
    assert cache.computed == len(manifest)
    drawn = replace(SETTINGS, crop="random")
    for clips in (manifest, renamed):
        fresh = embed(clips, logmel_stats(), settings=drawn)
        assert np.array_equal(cache.embed(clips, logmel_stats(), drawn).clip, fresh.clip)
    assert cache.computed == 3 * len(manifest)


def test_a_store_that_cannot_be_read_is_noted_and_computed_again(manifest, cache):
    first = cache.embed(manifest, logmel_stats(), SETTINGS)
    (file,) = files(cache)
    (file.parent / "description.json").write_text("hello")
    assert np.array_equal(cache.embed(manifest, logmel_stats(), SETTINGS).clip, first.clip)
    assert "description.json" in cache.notes[0]


WRITER = """
import sys
from pathlib import Path
from helpers.encoders import logmel_stats
from auricle.data.manifest.formats import read_manifest
from auricle.embeddings.cache import EmbeddingCache
from auricle.inference.config import EmbedSettings
cache = EmbeddingCache(Path(sys.argv[2]))
for _ in range(5):
    embedded = cache.embed(read_manifest(sys.argv[1]), logmel_stats(), EmbedSettings(seconds=0.2))
    assert len(embedded) == 6 and not cache.notes, cache.notes
"""


def test_two_processes_at_once_do_not_disturb_each_other(manifest, cache, programs):
    command = [str(programs / "python"), "-c", WRITER, str(manifest.root), str(cache.folder)]
    here = TESTS
    writers = [subprocess.Popen(command, cwd=here, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for writer in writers:
        _, errors = writer.communicate(timeout=PATIENCE)
        assert writer.returncode == 0, errors
    assert len(files(cache)) == 1
