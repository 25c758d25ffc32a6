"""What ``embed`` takes beside files: windows of long recordings, several taggers as one, standard input."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.audio.decode import read
from auricle.audio.windows import windows
from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest
from auricle.hub.weight_file import save_encoder
from auricle.inference.coercion import cut_into_windows, window_spans
from auricle.inference.embedder import embed
from helpers.encoders import logmel_stats, m2d, mn
from helpers.sounds import tone, write_sound


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 200), st.integers(1, 60), st.integers(1, 80), st.sampled_from([1, 10, 1000]))
def test_spans_equal_the_windows_of_taggers(total, size, hop, parts):
    heard = [(w.start, w.stop) for w in windows([np.zeros(total, np.float32)], size, hop)]
    spans = list(window_spans(total / parts, size / parts, hop / parts))
    assert [(round(a * parts), round(b * parts)) for a, b in spans] == heard
    assert max((end for _, end in spans), default=0.0) <= total / parts


@pytest.fixture
def recording(tmp_path):
    return write_sound(tmp_path / "day.wav", tone(2.3, 16000, seed=3), 16000)


def test_each_window_is_a_clip_of_its_own(recording, tmp_path, capsys):
    out = tmp_path / "day.npz"
    words = [
        "embed",
        str(recording),
        "--model",
        "logmel-stats",
        "--out",
        str(out),
        "--window",
        "1",
        "--hop",
        "0.5",
        "--quiet",
    ]
    assert main(words) == 0
    assert "4 clips" in capsys.readouterr().out
    found = np.load(out)
    assert found["ids"].tolist() == ["day.wav@0-1", "day.wav@0.5-1.5", "day.wav@1-2", "day.wav@1.3-2.3"]
    wave = torch.from_numpy(read(recording, start=0.5, end=1.5, rate=32000).wave)
    with torch.no_grad():
        alone = logmel_stats()(wave[None]).clip[0]
    assert np.abs(found["embeddings"][1] - alone.numpy()).max() < 1e-5
    assert np.array_equal(embed(recording, logmel_stats(), window=1.0, hop=0.5).clip, found["embeddings"])


def test_a_file_that_cannot_be_opened_is_named_once_and_windows_without_length_are_refused(recording, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    found = embed(tmp_path, logmel_stats(), window=1.0)
    assert list(found.failed) == ["text.wav"]
    assert len(found) == 4
    for window, hop in ((-1.0, 0.0), (1.0, -1.0), (float("nan"), 0.0), (0.0, 1.0)):
        with pytest.raises(AuricleError, match="--window and --hop are seconds above 0"):
            embed(recording, logmel_stats(), window=window, hop=hop)


def test_an_ensembles_features_stand_side_by_side(recording, tmp_path, capsys):
    members = [mn(), mn(head="fully_convolutional")]
    both = embed(recording, members).clip
    assert np.allclose(both, np.concatenate([embed(recording, member).clip for member in members], axis=1), atol=1e-5)
    for i, member in enumerate(members):
        save_encoder(member, tmp_path / f"{i}.safetensors")
    names = [str(tmp_path / f"{i}.safetensors") for i in range(2)]
    out = tmp_path / "both.npy"
    assert main(["embed", str(recording), "--ensemble", *names, "--out", str(out), "--quiet"]) == 0
    assert np.allclose(np.load(out), both, atol=1e-5)
    assert main(["embed", str(recording), "--ensemble", *names, "--model", names[0], "--out", str(out)]) == 2
    assert "--model NAME, or --ensemble" in capsys.readouterr().err
    assert np.array_equal(embed(recording, members[:1]).clip, embed(recording, members[0]).clip)
    without_classes = embed(recording, [m2d(), m2d(seed=2)]).clip
    alone = [embed(recording, member).clip for member in (m2d(), m2d(seed=2))]
    assert np.allclose(without_classes, np.concatenate(alone, axis=1), atol=1e-5)


def test_standard_input_is_a_recording(recording, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(recording.read_bytes())))
    save_encoder(m2d(), tmp_path / "m2d.safetensors")
    words = [
        "embed",
        "-",
        str(recording),
        "--model",
        str(tmp_path / "m2d.safetensors"),
        "--out",
        str(tmp_path / "e.npy"),
    ]
    assert main([*words, "--quiet", "--json"]) == 0
    index = json.loads((tmp_path / "e.npy.index.json").read_text())
    assert [clip["id"] for clip in index["clips"]] == ["-", str(recording)]
    assert np.array_equal(*np.load(tmp_path / "e.npy"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert main(["embed", "-", "--model", "logmel-stats", "--out", str(tmp_path / "n.npy"), "--quiet"]) == 2
    assert "none of the 1 clips could be read" in capsys.readouterr().err


def test_windows_of_a_manifest_keep_its_labels(recording, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("path,label,start,end\nday.wav,dog,0.5,2\n")
    cut = cut_into_windows(read_manifest(table), 1.0)
    assert [(clip.start, clip.end, clip.labels) for clip in cut] == [(0.5, 1.5, ("dog",)), (1.0, 2.0, ("dog",))]
    table.write_text("id,path,start,end\nu,day.wav,0,2\nv,day.wav,1,2.3\n")
    assert cut_into_windows(read_manifest(table), 1.0, 1.0).ids == ("u@0-1", "u@1-2", "v@1-2", "v@1.3-2.3")


def test_windows_end_with_the_recording_wherever_a_table_says_that_the_part_ends(recording, tmp_path):
    table = tmp_path / "parts.csv"
    table.write_text("id,path,start,end\nu,day.wav,0,999999999\nv,day.wav,1.5,99\nw,day.wav,5,6\n")
    assert cut_into_windows(read_manifest(table), 1.0, 1.0).ids == ("u@0-1", "u@1-2", "u@1.3-2.3", "v@1.5-2.3", "w")
    assert embed(table, logmel_stats(), window=1.0, hop=1.0).failed.keys() == {"w"}
