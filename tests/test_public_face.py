"""The public face: what ``import auricle`` offers is typed, documented, and its examples run."""

from __future__ import annotations

import doctest
import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import auricle
from auricle.data.audioset import audioset_classes
from auricle.hub import weight_cache
from auricle.hub.published.table import get
from auricle.hub.weight_file import save_encoder
from auricle.index.build import index_recordings
from auricle.index.config import IndexConfig
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN

PUBLIC = [name for name in auricle.__all__ if name != "__version__"]
SNIPPET = """
from collections.abc import Sequence

import numpy as np
import torch

import auricle
from auricle.models.base import Encoder
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace

version: str = auricle.__version__
encoder: Encoder = auricle.load("mn04_as")
rate: int = encoder.info.sample_rate
clip: torch.Tensor = encoder.encode(encoder.frontend(torch.zeros(1, rate))).clip
detector: Encoder = encoder.with_head(make_head("linear", encoder, 2), LabelSpace("multilabel", ("frog", "wren")))
ready: Encoder = detector.for_inference()
groups: list[str] = [group.name for group in encoder.layer_groups()]
labels: list[str] = [tag.label for tag in auricle.tag("metro.wav", model=encoder, top_k=10).results[0].tags]
vectors: np.ndarray = auricle.embed(["a.wav", "b.mp3"], model=encoder).clip
tagger = auricle.Tagger(encoder, window=10, hop=5)
scores: list[float] = [tag.score for tag in tagger(np.zeros(48000), sample_rate=48000).results[0].tags]
embedder = auricle.Embedder(encoder, level="frames")
stream = auricle.Stream(encoder, window=10, hop=0.5)
heard: list[str] = [change.label for change in stream.push(np.zeros(4800), sample_rate=48000, at=0.0).changes]
frames: Sequence[np.ndarray] = embedder("a.wav").frames or ()
names: list[str] = [record.name for record in auricle.list_models(family="mn")]
manifest = auricle.Manifest.read("clips.csv")
classes: tuple[str, ...] = manifest.select(split="train").label_classes()
learnt = auricle.finetune("sounds", model="mn04_as", out="detector", epochs=2, freeze=("encoder",))
accuracy: float = learnt.validation["accuracy"]
small = auricle.distill("sounds", teacher=["mn10_as"], out="small").run
bundle = auricle.export(encoder, "graph", to="onnx")
errors: dict[str, float] = bundle.certificate.largest
places: list[float] = [match.span.start for match in auricle.search("INDEX", "a.wav", top_k=3)]
faults: list[str] = [finding.name for finding in auricle.check("sounds").findings]
unsure: list[str] = [clip.label for clip in auricle.suggest("sounds", encoder, top_k=3).clips]
added: int = auricle.build_index(["night"], encoder, out="INDEX", dtype="int8").new
index = auricle.SoundIndex.open("INDEX")
dogs: list[str] = [index.spans([id])[0].path for id, score in index.spans_by_score("Dog", 0.5)]
auricle.set_threads(1)
"""


def example_of(name: str) -> str:
    """The code of the example in a docstring."""
    text = inspect.getdoc(getattr(auricle, name)) or ""
    assert "Example:" in text, f"auricle.{name} has no example"
    return textwrap.dedent(text.split("Example:")[1]).strip("\n")


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A folder with the files that the examples name, and small networks under the published names they load."""
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AURICLE_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    encoder = MN(MNConfig(width=0.1), classes=audioset_classes()).eval()
    for name in ("mn04_as", "mn10_as"):
        path = weight_cache.converted(get(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        save_encoder(encoder, path)
    noise = 0.1 * np.random.default_rng(0).standard_normal(32000)
    for file in ("a.wav", "metro.wav", "night.flac"):
        soundfile.write(file, noise, 16000)
    soundfile.write("b.mp3", noise, 16000)
    Path("clips.csv").write_text("path,label,split\na.wav,bell,train\nmetro.wav,train,test\n", encoding="utf-8")
    for label in ("dog", "rain"):
        for number in range(4):
            Path("sounds", label).mkdir(parents=True, exist_ok=True)
            soundfile.write(f"sounds/{label}/{number}.wav", noise[: 8000 + number], 16000)
    return tmp_path


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_of_every_public_name_runs(name, desk):
    code, names = (
        example_of(name),
        {"auricle": auricle, "np": np, "torch": torch, "waveform": np.zeros(48000, np.float32)},
    )
    threads = torch.get_num_threads()
    if name == "search":
        index_recordings(IndexConfig(("sounds", "a.wav"), out="INDEX", model="mn04_as", window=1.0))
    try:
        if code.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(code, names, name, None, 0)
            assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0
        else:
            exec(compile(code, f"example of auricle.{name}", "exec"), names)
    finally:
        auricle.set_threads(threads)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name):
    text = inspect.getdoc(getattr(auricle, name)) or ""
    assert text.splitlines()[0].rstrip().endswith((".", ":")) or text.splitlines()[1] == ""
    takes_arguments = inspect.signature(getattr(auricle, name)).parameters
    assert "Args:" in text or not takes_arguments
    assert "Raises:" in text


def test_all_lists_every_public_name():
    assert set(auricle.__all__) <= set(dir(auricle))
    assert [name for name in auricle.__all__ if not hasattr(auricle, name)] == []
    assert str(auricle.models()) == str(auricle.list_models())


def test_a_snippet_that_uses_all_of_it_is_typed(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "snippet.py").write_text(SNIPPET, encoding="utf-8")
    unused = [name for name in PUBLIC if f"auricle.{name}" not in SNIPPET]
    assert not unused
    words = ["--strict", "--follow-imports=silent", "--ignore-missing-imports", "--cache-dir", str(tmp_path / "cache")]
    environment = {**os.environ, "MYPYPATH": str(Path(auricle.__file__).parents[1])}
    line = [sys.executable, "-m", "mypy", *words, "snippet.py"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
