"""Smaller numbers in exported graphs: what is stored, which layers, and what it loses."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import soundfile
import torch

import auricle
from auricle.commands.export import ExportConfig, verify_export
from auricle.core.errors import AuricleError
from auricle.exporting.certificate import Certificate
from auricle.exporting.description import Description, HeadDescription
from auricle.exporting.formats import write_graph
from auricle.exporting.graph import trace
from auricle.exporting.quantization.clips import scored_clips
from auricle.exporting.quantization.forms import KNOWN, forms_of
from auricle.exporting.quantization.loss import Answers, TaskLoss, task_loss
from auricle.exporting.quantization.parts import products_of
from auricle.exporting.quantization.trials import FormTrial, best, table
from auricle.exporting.quantization.weights import smaller
from auricle.exporting.runtimes import open_graph
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from auricle.models.log_mel_stats import LogMelStats
from helpers.encoders import m2d


# ---- numbers
def test_int8_with_a_scale_per_output_is_within_half_a_step_of_every_weight():
    values = np.random.default_rng(0).normal(0, 1, (6, 40)).astype(np.float32) * 10.0 ** np.arange(-3, 3)[:, None]
    integers, scale = smaller(values, "int8", axis=0)
    assert integers.dtype == np.int8
    assert scale.shape == (6, 1)
    assert (np.abs(integers * scale - values) <= 0.5001 * np.abs(values).max(axis=1, keepdims=True) / 127).all()
    _, one = smaller(values, "int8 per tensor", axis=0)
    assert one.size == 1
    assert smaller(np.zeros((2, 3), np.float32), "int8", axis=0)[1].min() > 0, "a layer of zeros has a scale too"


def test_fourier_matrices_in_int16_with_scales_are_closer_than_in_float16():
    angle = np.outer(np.arange(400) + 0.5, np.arange(480)) * np.pi / 512
    cosines = np.cos(angle).astype(np.float32)
    integers, scale = smaller(cosines, "int16", axis=1)
    halves, _ = smaller(cosines, "float16", axis=1)
    assert 10 * np.abs(integers * scale - cosines).mean() < np.abs(halves.astype(np.float32) - cosines).mean()


# ---- forms
def test_every_form_has_a_name_of_its_own():
    names = [form.name for forms in KNOWN.values() for form in forms]
    assert len(set(names)) == len(names)


def test_auto_tries_every_form_of_a_format_and_a_kind_means_its_first():
    assert forms_of("onnx", "none") == ()
    assert forms_of("openvino", "int8-static") == KNOWN["int8-static"][:1]
    assert len(forms_of("onnx", "auto")) == sum(map(len, KNOWN.values()))
    with pytest.raises(AuricleError, match="int8-static is not known for --to torch; it is for --to litert, onnx"):
        forms_of("torch", "int8-static")


# ---- what a form loses
DESCRIPTION = Description(
    "m", "mn", "f", 32000, 514, None, 1000, False, None, False, 0.32,
    (HeadDescription("main", "scores", "logits", {"names": ["Dog", "Rain"], "ids": ["/d", "/r"], "kind": "multilabel"}),),
    "", "", "",
)  # fmt: skip


def test_agreement_and_average_precision_are_those_of_the_answers():
    embedding = np.eye(4, dtype=np.float32)
    source = Answers(np.array([[0.9, 0.1], [0.8, 0.3], [0.2, 0.6], [0.1, 0.7]], np.float32), embedding)
    worse = Answers(np.array([[0.9, 0.1], [0.25, 0.9], [0.2, 0.6], [0.1, 0.7]], np.float32), embedding)
    same = task_loss(source, source, None, "own")
    assert (same.top1_agreement, same.map, same.map_loss, same.total) == (1.0, 1.0, 0.0, 0.0)
    lost = task_loss(source, worse, None, "own")
    assert lost.top1_agreement == 0.75
    assert lost.map == pytest.approx(((1 + 2 / 2) / 2 + (1 / 2 + 2 / 3) / 2) / 2)
    assert lost.embedding_cosine == pytest.approx(1.0)


def test_without_classes_the_nearest_other_clip_is_what_must_agree():
    source = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)
    turned = np.array([[1, 0], [0.9, 0.1], [0.5, 0.9], [0.1, 0.9]], np.float32)
    across = np.array([[1, 0], [0.9, 0.1], [1, 0.01], [0.1, 0.9]], np.float32)
    kept, lost = (task_loss(Answers(None, source), Answers(None, moved), None, "") for moved in (turned, across))
    assert kept.map is None
    assert (kept.top1_agreement, lost.top1_agreement) == (1.0, 0.0), "the third clip crosses over to the first two"
    assert kept.total < lost.total


def trial(name: str, agreement: float, size: int) -> FormTrial:
    return FormTrial(name, size, TaskLoss(10, "", agreement, 0.5, 0.5, 1.0))


def test_the_form_of_8_bits_that_loses_least_is_kept_unless_it_loses_too_much():
    forms = [*KNOWN["float16"], *KNOWN["int8-weights"][:2], KNOWN["int8-static"][0]]
    names = [form.name for form in forms]
    tried = [
        trial(names[0], 1.0, 90),
        trial(names[1], 0.985, 50),
        trial(names[2], 0.985, 40),
        FormTrial(names[3], failed="no"),
    ]
    assert best(forms, tried) == 2, "the smaller of two that lose the same"
    tried[1:3] = [trial(names[1], 0.97, 50), trial(names[2], 0.9, 40)]
    assert best(forms, tried) == 0, "float16, since the others lose more than two in a hundred"
    assert "failed" in table(tried, 0).splitlines()[-1]
    with pytest.raises(AuricleError, match="no smaller form could be written"):
        best(forms[3:], tried[3:])


def test_labels_count_where_they_are_classes_of_the_model(tmp_path):
    for name in ("dog", "rain", "piano"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.wav", 0.1 * np.ones(4000, np.float32), 16000)
    (tmp_path / "rain" / "broken.wav").write_bytes(b"RIFF")
    found = scored_clips(str(tmp_path), None, LogMelStats(), DESCRIPTION)
    assert found.labels == "labels of 2 classes"
    assert found.targets is not None
    assert dict(zip(found.clips, found.targets.tolist()))["dog/a.wav"] == [1, 0]
    assert any("piano" in note for note in found.notes), "a label that does not count is said"
    assert any("broken.wav is left out" in note for note in found.notes)


# ---- graphs
def mn_encoder():
    """Random weights; batch norms that have seen sound, or its signal would die away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = MN(MNConfig(width=0.4, num_classes=3), seed=1)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain average
    encoder.train()
    with torch.no_grad():
        encoder(0.2 * torch.randn(2, 32000, generator=torch.Generator().manual_seed(0)))
    encoder.eval()
    return encoder.with_head(
        make_head("mlp", encoder, 3, seed=1), LabelSpace("multilabel", ("wren", "crow", "jay"))
    ).eval()


@pytest.fixture(scope="module")
def mn():
    """A network of the size of mn04 with random weights, as ONNX."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    return trace(mn_encoder(), length=None, any_length=True, batch_size=1, frames=False)


@pytest.fixture(scope="module")
def in_float32(mn, tmp_path_factory):
    """A wave (1, S), the embedding that the graph in float32 gives for it, and the bytes of that graph."""
    folder = tmp_path_factory.mktemp("float32")
    wave = 0.2 * np.random.default_rng(3).normal(size=(1, 20000)).astype(np.float32)
    write_graph(mn, "onnx", folder)
    exact = open_graph(folder, "onnx", mn.description, threads=1)({"wave": wave})
    return wave, exact["embedding"], (folder / "model.onnx").stat().st_size


@pytest.mark.slow
def test_parts_of_a_network_are_found_by_how_its_graph_is_connected(mn):
    from auricle.exporting.formats import onnx_model

    by_part: dict[str, list[str]] = {}
    for product in products_of(onnx_model(mn)):
        by_part.setdefault(product.part, []).append(product.weight)
    assert by_part["first"] == ["encoder.features.0.0.weight"]
    assert all("conc_se_layers" in name for name in by_part["gates"])
    assert len(by_part["gates"]) == 16
    assert by_part["head"]
    assert not any("features" in name for name in by_part["head"])
    assert not any(name.startswith("encoder.") for name in by_part["front end"])
    assert all("features" in name for name in by_part["body"] + by_part["small"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float16", "int8-weights", "int8-dynamic", "int8-static"])
@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_every_form_runs_and_is_smaller_than_float32(mn, in_float32, kind, to, tmp_path):
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[to])
    wave, exact, float_size = in_float32
    (form, *_) = forms_of(to, kind)
    write_graph(mn, to, tmp_path, form, [{"wave": wave}, {"wave": wave[:, :9000]}])  # clips of two lengths
    found = open_graph(tmp_path, to, mn.description, threads=1)({"wave": wave})
    cosine = np.sum(found["embedding"] * exact) / np.linalg.norm(found["embedding"]) / np.linalg.norm(exact)
    assert cosine > 0.99
    size = sum(file.stat().st_size for file in tmp_path.glob("model.*"))
    assert size < (0.85 if (to, kind) == ("openvino", "int8-dynamic") else 0.62) * float_size


@pytest.mark.slow
def test_a_quantized_export_states_its_loss_and_is_replayed_against_itself(tmp_path):
    for name in ("one", "two"):
        random = np.random.default_rng(len(name))
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * random.normal(size=16000), 32000)
    encoder = m2d("80x32", depth=1)
    detector = encoder.with_head(
        make_head("mlp", encoder, 3, seed=1), LabelSpace("multilabel", ("wren", "crow", "jay"))
    )
    result = auricle.export(
        detector.eval(), tmp_path / "out", quantize="int8-static", score_on=tmp_path, calibrate=[tmp_path / "one.wav"]
    )
    certificate = result.certificate
    assert certificate.quantized["loss"]["clips"] == 2
    assert certificate.quantized["ranges_of"] == "1 recordings"
    assert certificate.largest["scores"] > 1e-5, "it is no parity"
    page = (tmp_path / "out/certificate.md").read_text(encoding="utf-8")
    assert "**Not equal to its source.**" in page
    assert "limit of a replay" in page
    verified = verify_export(tmp_path / "out")
    assert max(error for clip in verified.clips for error in clip.errors.values()) < 1e-3
    assert Certificate.read(tmp_path / "out").tried == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"to": "torch", "quantize": "auto"},
            "--quantize auto is not known for --to torch; it is for --to litert, onnx",
        ),
        ({"calibrate": ("a.wav",)}, "--calibrate is for smaller numbers; give --quantize too"),
        ({"quantize": "auto", "labels": "a.csv"}, "--labels are those of --score-on"),
        ({"quantize": "int4"}, "--quantize is one of none, float16"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, words):
    with pytest.raises(AuricleError, match=words):
        ExportConfig(model="m", out="o", **options)
