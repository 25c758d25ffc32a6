"""Recordings inside an HDF5 file of mp3 are tagged, embedded and evaluated as loose files are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import write_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import archive_manifest
from auricle.inference.coercion import as_manifest, cut_into_windows
from auricle.inference.embedder import Embedder
from helpers.finetune_runs import weight_file
from helpers.published_sets import packed, write_recordings

NAMES = [f"{name}.mp3" for name in "abcd"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("h5py", reason="[data] is not installed")
    folder = tmp_path_factory.mktemp("archive")
    write_recordings(folder / "loose", NAMES)
    packed(folder, folder / "loose", {"all.hdf": {name: np.ones(8) for name in NAMES}})
    weight_file(folder)
    return folder


def test_embeddings_are_those_of_loose_files(folder):
    embedder = Embedder(folder / "mn.safetensors")
    loose, stored = embedder(folder / "loose"), embedder(folder / "all.hdf")
    assert stored.ids == loose.ids == tuple(NAMES)
    np.testing.assert_allclose(stored.clip, loose.clip, atol=1e-6)


def test_windows_and_several_sources_are_read_from_the_archive(folder):
    manifest = as_manifest([str(folder / "all.hdf"), str(folder / "loose" / "a.mp3")])
    assert [clip.id for clip in manifest][:2] == [f"{folder}/all.hdf/a.mp3", f"{folder}/all.hdf/b.mp3"]
    windows = cut_into_windows(manifest, 0.05)
    results = Embedder(folder / "mn.safetensors")(windows)
    assert not results.failed
    assert len(results) == len(windows) > len(manifest)


def test_embed_keeps_a_store_of_them(folder, capsys):
    line = ["embed", str(folder / "all.hdf"), "--model", str(folder / "mn.safetensors"), "--out", str(folder / "store")]
    assert main([*line, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 0
    assert main([*line, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == len(NAMES)  # unchanged, so nothing is embedded again


def test_tag_names_every_recording(folder, capsys):
    line = ["tag", str(folder / "all.hdf"), "--model", str(folder / "mn.safetensors"), "--out", str(folder / "tags")]
    assert main([*line, "--json"]) == 0
    first = capsys.readouterr().out
    assert [row["file"] for row in json.loads(first)["results"]] == [f"{folder}/all.hdf/{name}" for name in NAMES]
    assert main([*line, "--json"]) == 0  # continued: all are finished
    assert json.loads(capsys.readouterr().out) == json.loads(first)


def test_a_manifest_of_an_archive_is_evaluated(folder, capsys):
    clips = [
        Clip(f"{copy}{name}", store="all.hdf", key=name, labels=(label,))
        for copy in range(2)
        for name, label in zip(NAMES, ("low", "low", "high", "high"))
    ]
    write_manifest(Manifest(clips, folder), folder / "labelled.csv")
    line = ["evaluate", str(folder / "labelled.csv"), "--model", str(folder / "mn.safetensors"), "--protocol", "knn"]
    assert main([*line, "--no-baselines", "--out", str(folder / "scores"), "--json"]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_what_needs_a_file_of_its_own_says_so(folder):
    manifest = archive_manifest(folder / "all.hdf")
    with pytest.raises(AuricleError, match=r"inside all\.hdf, and a file of its own is needed"):
        manifest.audio(manifest["a.mp3"])
