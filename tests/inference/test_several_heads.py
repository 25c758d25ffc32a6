"""A detector with several heads: the answers by head are those of the detectors that it was made of."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

import auricle
from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.hub.weight_file import save_encoder
from auricle.inference.tag_results import FileTags
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from auricle.models.merge import merge_detectors
from helpers.encoders import m2d
from helpers.sounds import write_sound

FROGS = LabelSpace("multilabel", ("frog", "toad")).with_thresholds((0.3, 0.6), fitted_on="pond")
ROOMS = LabelSpace("multiclass", ("hall", "street", "noise"), background=("noise",))


@pytest.fixture(scope="module")
def parts():
    encoder = m2d()
    kinds = {"frogs": ("prototype", FROGS), "rooms": ("gated-layers", ROOMS)}
    return {name: encoder.with_head(make_head(kind, encoder, len(s), seed=3), s) for name, (kind, s) in kinds.items()}


@pytest.fixture(scope="module")
def merged(parts):
    return merge_detectors(list(parts.items()))


@pytest.fixture
def recording(tmp_path):
    sound = np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)
    return write_sound(tmp_path / "pond.wav", sound, 16000)


@pytest.mark.parametrize("options", [{}, {"window": 1.0, "hop": 0.5}, {"only": ["toad", "hall"]}, {"min_score": 0.4}])
def test_each_head_answers_as_its_detector(parts, merged, recording, options):
    result = auricle.tag(recording, merged, **options).results[0]
    labels = set(options.get("only", ()))
    for name, part in parts.items():
        own = {**options, "only": sorted(labels & set(part.info.label_space.names))} if labels else options
        assert result.heads[name] == auricle.tag(recording, part, **own).results[0]
    assert result.tags == result.heads["frogs"].tags
    assert (
        FileTags.from_json(json.loads(json.dumps(result.to_json(time_line=True)))).heads.keys() == result.heads.keys()
    )


def test_a_label_of_no_head_is_refused(merged):
    with pytest.raises(AuricleError, match="no label 'tood'; did you mean toad"):
        auricle.Tagger(merged, only=["hall", "tood"])


def test_json_text_and_tables_are_by_head(merged, recording, tmp_path, capsys):
    save_encoder(merged, tmp_path / "night.safetensors")
    line = ["tag", str(recording), "--model", str(tmp_path / "night.safetensors"), "--quiet"]

    def shown(*words: str) -> str:
        assert main([*line, *words]) == 0
        return capsys.readouterr().out

    (result,) = json.loads(shown("--json", "--window", "1"))["results"]
    assert result["heads"].keys() == {"frogs", "rooms"}
    assert result["heads"]["frogs"].keys() == {"tags", "detected", "events"}
    assert result["heads"]["frogs"]["tags"] == result["tags"]
    text = shown()
    assert text.index("Head frogs") < text.index("toad") < text.index("Head rooms") < text.index("street")
    rows = list(csv.DictReader(io.StringIO(shown("--csv"))))
    assert {(row["head"], row["label"]) for row in rows} == {
        ("frogs", "frog"), ("frogs", "toad"), ("rooms", "hall"), ("rooms", "street"),
    }  # fmt: skip
    events = list(csv.DictReader(io.StringIO(shown("--csv-events", "--window", "1", "--threshold", "0.01"))))
    assert {row["head"] for row in events} == {"frogs", "rooms"}
    assert "rooms: street" in shown("--summary", "label", "--threshold", "0.01")


def test_a_folder_of_answers_continues_and_its_label_track_holds_all_heads(merged, recording, tmp_path, capsys):
    save_encoder(merged, tmp_path / "night.safetensors")
    line = ["tag", str(recording), "--model", str(tmp_path / "night.safetensors"), "--quiet", "--window", "1"]
    line += ["--threshold", "0.01", "--out", str(tmp_path / "out"), "--labels-out", "audacity"]
    assert main(line) == 0
    first = capsys.readouterr().out
    track = next((tmp_path / "out").glob("pond*.labels.txt")).read_text()
    assert "frogs: frog" in track
    assert "rooms: street" in track
    assert main(line) == 0
    assert capsys.readouterr().out == first
