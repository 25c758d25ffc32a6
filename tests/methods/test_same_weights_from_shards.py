"""The same training run from loose files, tar shards and HDF5 gives identical weights, where no form loses a sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from auricle.commands.finetune.finetune import finetune_run
from auricle.commands.prepare.shards import ShardsConfig, prepare_shards
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.hdf5 import ArchiveEntry, write_archive
from helpers.finetune_runs import config, labelled_sounds, weight_file
from helpers.stopping import weights


def in_shards(sounds: Path, out: Path, encode: str) -> Path:
    prepare_shards(ShardsConfig(str(sounds), str(out), shard_size="50KB", encode=encode, workers=0, quiet=True))
    return out


def in_hdf5(sounds: Path, out: Path) -> Path:
    """The same clips in a file of encoded audio (FLAC in the field that usually holds MP3)."""
    pytest.importorskip("h5py", reason="[data] is not installed")
    manifest = read_manifest(sounds)
    entries = []
    for clip in manifest:
        wave, rate = soundfile.read(manifest.audio(clip), dtype="int16")
        flac = out / "flac" / f"{clip.id}.flac"
        flac.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(flac, wave, rate)
        entries.append(ArchiveEntry(clip.id, flac, np.zeros(2)))
    write_archive(out / "all.hdf", entries, len(entries), 2)
    clips = [replace(clip, path=None, store="all.hdf", key=clip.id) for clip in manifest]
    write_manifest(Manifest(clips, out), out / "manifest.csv")
    return out


def trained(source: Path, out: Path, model: Path) -> dict[str, torch.Tensor]:
    finetune_run(config(source, out, model, epochs=2, seconds=0.25), quiet=True)
    return weights(out)


@pytest.mark.slow
def test_loose_files_shards_and_hdf5_give_identical_weights(tmp_path):
    sounds, model = labelled_sounds(tmp_path / "sounds"), weight_file(tmp_path)
    expected = trained(sounds, tmp_path / "loose", model)
    sources = {
        "tar": in_shards(sounds, tmp_path / "tar", "keep"),
        "tar of flac": in_shards(sounds, tmp_path / "tar of flac", "flac"),
        "hdf5": in_hdf5(sounds, tmp_path / "hdf5"),
    }
    for name, source in sources.items():
        found = trained(source, tmp_path / f"run from {name}", model)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected), name
