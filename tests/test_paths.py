"""Every function that takes a path takes text, a Path and any other object that names one; an empty text is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import auricle
from auricle.audio.decode import blocks, probe, read
from auricle.commands.prepare.prepare import PrepareConfig, prepare
from auricle.compat.sklearn import AudioEncoder
from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.data.manifest.labels import read_class_list
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.embeddings import EmbeddingStore
from auricle.data.synthetic.corpus import CLASSES, make_corpus
from auricle.embeddings.cache import EmbeddingCache
from auricle.evaluation.evaluation import Evaluation
from auricle.evaluation.results import ResultsStore, record
from auricle.evaluation.suites.read import read_suite
from auricle.evaluation.tasks import Task
from auricle.hub.load import load_untrained, read_run
from auricle.hub.run_folder import RunFolder
from auricle.hub.warm_start import read_tensors
from auricle.hub.weight_file import describe, read_encoder, save_encoder
from auricle.inference.config import EmbedSettings
from auricle.reports.page import build_report
from auricle.reports.run_view import RunView
from auricle.reports.snapshot import load_snapshot
from auricle.training.log import read_log
from helpers.encoders import logmel_stats, mn
from helpers.evaluation_data import EVALUATION
from helpers.sounds import tone, write_sound

ENCODER = mn()


class Named:
    """A path of another library."""

    def __init__(self, path: Path):
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A file of every kind."""
    folder = tmp_path_factory.mktemp("files")
    write_sound(folder / "in" / "a.wav", tone(0.5))
    write_sound(folder / "in" / "b.wav", tone(0.5, seed=1))
    (folder / "clips.csv").write_text("filename,label\nin/a.wav,x\nin/b.wav,y\n")
    (folder / "classes.txt").write_text("x\ny\n")
    (folder / "suite.yaml").write_text("tasks:\n- source: clips.csv\n")
    save_encoder(ENCODER, folder / "mn.safetensors")
    run = RunFolder.create(folder / "run", {"method": "m2d"})
    save_encoder(ENCODER, run.encoder)
    EVALUATION.save(folder / "evaluation.json")
    EmbeddingStore.create(folder / "store", {})
    return folder


READING: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "load": ("mn.safetensors", auricle.load),
    "load a run": ("run", auricle.load),
    "load_untrained": ("mn.safetensors", load_untrained),
    "read_run": ("run", read_run),
    "read_encoder": ("mn.safetensors", read_encoder),
    "read_tensors": ("mn.safetensors", read_tensors),
    "describe": ("mn.safetensors", describe),
    "tag": ("in", lambda path: auricle.tag(path, ENCODER)),
    "tag by a file": ("mn.safetensors", lambda path: auricle.tag(tone(0.5), path, sample_rate=16000)),
    "Tagger": ("in/a.wav", lambda path: auricle.Tagger(ENCODER)([path])),
    "embed": ("in", lambda path: auricle.embed(path, logmel_stats())),
    "embed a table": ("clips.csv", lambda path: auricle.embed(path, logmel_stats())),
    "Embedder": ("in/a.wav", lambda path: auricle.Embedder(logmel_stats())([path])),
    "AudioEncoder": ("in/a.wav", lambda path: AudioEncoder(cache=False).transform([path])),
    "Manifest.read": ("clips.csv", auricle.Manifest.read),
    "Manifest.read of a folder": ("in", auricle.Manifest.read),
    "Manifest.read of a list": ("in/a.wav", lambda path: auricle.Manifest.read([path])),
    "Manifest": ("in", lambda path: Manifest([Clip("a", path="a.wav")], path).audio(Clip("a", path="a.wav"))),
    "labels": ("clips.csv", lambda path: read_manifest(Path(path).parent / "in", labels=path)),
    "read_class_list": ("classes.txt", read_class_list),
    "Task": ("clips.csv", lambda path: Task(path).manifest()),
    "read_suite": ("suite.yaml", read_suite),
    "probe": ("in/a.wav", probe),
    "read": ("in/a.wav", read),
    "blocks": ("in/a.wav", lambda path: list(blocks(path))),
    "EmbeddingStore.open": ("store", EmbeddingStore.open),
    "EmbeddingStore.is_store": ("store", EmbeddingStore.is_store),
    "Evaluation.load": ("evaluation.json", Evaluation.load),
    "RunFolder": ("run", lambda path: RunFolder(path).config),
    "RunFolder.open": ("run", RunFolder.open),
    "RunView.open": ("run", RunView.open),
    "load_snapshot": ("run", load_snapshot),
    "read_log": ("run/metrics.jsonl", read_log),
    "build_report": ("run", lambda path: build_report(path, out=Path(path) / "report.html")),
}
WRITING: dict[str, Callable[[Any], Any]] = {
    "save_encoder": lambda path: save_encoder(ENCODER, path),
    "write_manifest": lambda path: write_manifest(Manifest([Clip("a", path="a.wav")]), path),
    "Evaluation.save": EVALUATION.save,
    "ResultsStore": lambda path: record(EVALUATION, ResultsStore(path)),
    "EmbeddingStore.create": lambda path: EmbeddingStore.create(path, {}),
    "RunFolder.create": lambda path: RunFolder.create(path, {}),
    "make_corpus": lambda path: make_corpus(path, clips_per_class=1, seconds=0.5, classes=CLASSES[:1], quiet=True),
}
KINDS = pytest.mark.parametrize("kind", [str, Path, Named], ids=["text", "Path", "PathLike"])


@KINDS
@pytest.mark.parametrize("name", READING)
def test_what_is_read_may_be_named_by_any_kind_of_path(files, name, kind):
    place, call = READING[name]
    call(kind(files / place))


@KINDS
@pytest.mark.parametrize("name", WRITING)
def test_what_is_written_may_be_named_by_any_kind_of_path(tmp_path, name, kind):
    out = tmp_path / ("out.csv" if name == "write_manifest" else "out")
    WRITING[name](kind(out))
    assert any(tmp_path.iterdir())


@KINDS
def test_the_cache_and_the_settings_of_commands_take_any_kind_of_path(files, tmp_path, kind):
    cache = EmbeddingCache(kind(tmp_path / "cache"))
    manifest = auricle.Manifest.read(kind(files / "in"))
    assert len(cache.embed(manifest, logmel_stats(), EmbedSettings())) == 2
    assert prepare(PrepareConfig(kind(files / "in"), kind(tmp_path / "out"), workers=1, quiet=True)).done == 2


BY_NAME = (
    "tag",
    "tag by a file",
    "load",
    "load_untrained",
    "embed",
    "Manifest.read",
    "Manifest.read of a list",
    "probe",
)


@pytest.mark.parametrize("name", [*BY_NAME, "AudioEncoder"])
def test_an_empty_text_is_no_path(files, monkeypatch, name):
    monkeypatch.chdir(files / "in")
    with pytest.raises(AuricleError, match="empty text"):
        READING[name][1]("")
