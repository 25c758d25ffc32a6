"""``auricle export --to litert``: one shape, names of inputs and outputs, no tables of indices; refusals in words.

The conversion itself runs where the [litert] extra is installed, which is no part of ``make test``.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
import soundfile
import torch

import auricle
from auricle.commands.export import ExportConfig, verify_export
from auricle.core.errors import AuricleError, MissingExtra
from auricle.exporting.formats import write_graph
from auricle.exporting.graph import trace
from auricle.exporting.quantization.forms import CHOICES, forms_of
from auricle.exporting.quantization.litert_forms import products_of
from auricle.exporting.runtimes import open_graph
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from auricle.models.log_mel_stats import LogMelStats
from helpers.bundles import printed_by_runner
from helpers.encoders import FAMILIES, m2d, mae_ast
from helpers.paths import SHARED

PUBLISHED, METRO = SHARED / "weights/mn04_as_mAP_432.pt", SHARED / "data/audio/metro_station-paris.wav"
TEN = SHARED / "golden/efficientat/mn04_as_metro_station-paris.safetensors"
INDEX_OPERATORS = {"GATHER", "GATHER_ND", "SCATTER_ND"}


def needs_litert() -> None:
    for module in ("ai_edge_litert", "litert_torch"):
        pytest.importorskip(module, reason="the [litert] extra, 1.3 GB, is not installed")


def wave_of(samples: int) -> torch.Tensor:
    return 0.2 * torch.randn(1, samples, generator=torch.Generator().manual_seed(samples))


# ---- what the converter gets
def test_one_shape_is_ten_seconds_unless_the_model_has_a_shorter_chunk():
    """The chunk of the MAE-AST here is sixteen minutes long, and its graphs of other formats take any length."""
    long = trace(mae_ast(), length=None, any_length=False, batch_size=None, frames=False, one_shape=True).description
    assert (long.samples, long.batch_size, long.takes_samples) == (10 * long.sample_rate, 1, True)
    encoder = m2d("80x32")
    short = trace(encoder, length=None, any_length=False, batch_size=3, frames=False, one_shape=True).description
    assert (short.samples, short.batch_size) == (encoder.front.samples_for(32), 3)


def test_frames_behind_the_end_of_a_shorter_clip_are_zeros(tmp_path):
    """Also for an encoder that computes them as any others; golden clips are shorter and longer than these 2 seconds."""
    result = auricle.export(LogMelStats().eval(), tmp_path / "out", to="torch", length=2, frames=True)
    assert "frames" in result.certificate.largest


# ---- what is refused
def test_any_length_is_refused_before_anything_is_loaded():
    with pytest.raises(AuricleError, match="--length any: a graph for litert has one length; give seconds"):
        ExportConfig(model="no-such-model", out="o", to="litert", length=float("inf"))


@pytest.mark.parametrize("module", ["litert_torch", "ai_edge_litert.interpreter"])
def test_an_absent_converter_is_named_with_its_install_line(module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "litert_torch", sys.modules[__name__])  # there, unless it is the one that is not
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"an export to LiteRT needs .* pip install 'auricle\[litert\]'"):
        auricle.export(LogMelStats(), tmp_path / "out", to="litert")
    assert list(tmp_path.iterdir()) == []


class Bessel(LogMelStats):
    """A network with an operator that the converter does not know."""

    def _core(self, values, lengths, layers):
        out, inner = super()._core(values, lengths, layers)
        return out._replace(clip=torch.special.bessel_j0(out.clip)), inner


def test_an_operator_that_litert_lacks_is_named_and_nothing_is_left(tmp_path):
    needs_litert()
    with pytest.raises(AuricleError, match=r"logmel-stats cannot be written as LiteRT: .*bessel_j0"):
        auricle.export(Bessel().eval(), tmp_path / "out", to="litert", length=0.5)
    assert list(tmp_path.iterdir()) == []


# ---- graphs, in the runtime
def operators_of(file) -> set[str]:
    """The names of the operators of a ``.tflite`` file."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.read_bytes(), 0))
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    return {names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["logmel-stats", "mn", "m2d", "mae-ast-patch", "ensemble"])
def test_a_family_is_exported_for_one_length(family, tmp_path):
    needs_litert()
    encoder = FAMILIES[family].make()
    result = auricle.export(encoder, tmp_path / "out", to="litert", frames=True, length=None if encoder.chunked else 2)
    assert set(result.certificate.largest) == set(result.description.outputs)
    assert "CUSTOM" not in operators_of(tmp_path / "out/model.tflite")
    verify_export(tmp_path / "out")
    assert str(auricle.__path__[0]).encode() not in (tmp_path / "out/model.tflite").read_bytes()


@pytest.mark.slow
def test_dymn_is_exported_for_one_length(tmp_path):
    """On noise: with the random weights of a test, silence has logits of 1e9 and more, beyond any absolute limit."""
    needs_litert()
    encoder = FAMILIES["dymn"].make()
    graph = trace(encoder, length=1, any_length=False, batch_size=1, frames=False, one_shape=True)
    write_graph(graph, "litert", tmp_path)
    found = open_graph(tmp_path, "litert", graph.description, threads=1)({"wave": wave_of(32000).numpy()})
    with torch.no_grad():
        expected = encoder(wave_of(32000))
    np.testing.assert_allclose(found["logits"], expected.logits, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(found["embedding"], expected.clip, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_the_runner_gives_every_head_without_torch_and_without_this_package(tmp_path):
    needs_litert()
    encoder = m2d("80x32")
    birds = LabelSpace("multilabel", ("wren", "crow"), ("Wren", "Crow")).with_thresholds(
        (0.2, 0.99), fitted_on="a test"
    )
    place = LabelSpace("multiclass", ("wood", "town"))
    encoder = encoder.with_head(make_head("mlp", encoder, 2, seed=1), birds)
    encoder = encoder.with_head(make_head("attentive", encoder, 2, seed=2), place, name="place").eval()
    result = auricle.export(encoder, tmp_path / "out", to="litert", batch_size=2)
    assert result.description.outputs == ("scores", "logits", "scores_place", "logits_place", "embedding")
    soundfile.write(tmp_path / "a.wav", wave_of(3000)[0].numpy(), 16000, subtype="PCM_16")
    samples, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    with torch.no_grad():
        logits = encoder(torch.from_numpy(samples[None])).head_logits
    expected = dict(zip(("Wren", "Crow"), birds.probabilities(logits["main"])[0].tolist()))
    expected |= dict(zip(("wood", "town"), place.probabilities(logits["place"])[0].tolist()))
    lines = printed_by_runner(tmp_path / "out", tmp_path / "a.wav", without=("auricle", "torch"))
    printed = {words[-1]: float(words[0]) for words in lines}
    assert printed == pytest.approx(expected, abs=2e-6)


@pytest.mark.slow
@pytest.mark.skipif(not (PUBLISHED.is_file() and METRO.is_file()), reason="needs the published weights and recordings")
def test_the_published_tagger_fits_in_six_megabytes_and_gives_the_golden_scores(tmp_path):
    needs_litert()
    from safetensors.numpy import load_file

    out = tmp_path / "out"
    result = auricle.export("mn04_as", out, to="litert", weights=str(PUBLISHED), clip=[METRO])
    assert (out / "model.tflite").stat().st_size < 6e6
    assert not operators_of(out / "model.tflite") & INDEX_OPERATORS
    golden = load_file(TEN)
    found = open_graph(out, "litert", result.description, threads=1)({"wave": golden["waveform_32k"]})
    np.testing.assert_allclose(found["scores"], golden["probabilities"], atol=1e-5)
    assert np.argsort(-found["scores"][0])[:10].tolist() == np.argsort(-golden["probabilities"][0])[:10].tolist()


# ---- smaller numbers
def test_smaller_forms_of_litert_have_no_percentiles_and_say_float16():
    forms = forms_of("litert", "auto")
    assert len({form.name for form in forms}) == len(forms)
    assert {form.kind for form in forms} == {"float16", "int8-weights", "int8-dynamic", "int8-static"}
    assert {form.ranges for form in forms} == {"", "minmax"}
    assert all("float16" in form.precision for form in forms)
    assert "16-bit integers" in forms_of("onnx", "float16")[0].precision, "of the other formats"


@pytest.mark.slow
def test_every_smaller_form_is_smaller_and_close_and_costs_one_conversion(tmp_path, monkeypatch):
    needs_litert()
    encoder = FAMILIES["mn"].make()
    graph = trace(encoder, length=1, any_length=False, batch_size=None, frames=False, one_shape=True)
    write_graph(graph, "litert", tmp_path)
    file = tmp_path / "model.tflite"
    inputs, size = {"wave": wave_of(32000).numpy()}, file.stat().st_size
    expected = open_graph(tmp_path, "litert", graph.description, threads=1)(inputs)["embedding"]
    parts = {(product.part, product.op) for product in products_of(file.read_bytes())}
    assert {("front end", "FULLY_CONNECTED"), ("gates", "FULLY_CONNECTED"), ("head", "FULLY_CONNECTED")} <= parts
    assert {part for part, op in parts if op == "DEPTHWISE_CONV_2D"} == {"first", "small"}
    monkeypatch.setitem(sys.modules, "litert_torch", object())  # not asked again
    for form in [form for quantize in CHOICES[1:-1] for form in forms_of("litert", quantize)]:
        write_graph(graph, "litert", tmp_path, form, [inputs])
        assert file.stat().st_size < 0.6 * size, form.name
        found = open_graph(tmp_path, "litert", graph.description, threads=1)(inputs)["embedding"]
        most = 0.2 if form.kind == "float16" or "small" in form.in_16_bits else 1.0  # small layers in 8 bits lose much
        assert 0 < np.abs(found - expected).max() < most * np.abs(expected).max(), form.name


@pytest.mark.slow
@pytest.mark.skipif(not PUBLISHED.is_file(), reason="needs the published weights")
def test_the_published_tagger_in_eight_bits_takes_two_and_a_half_megabytes_and_keeps_its_top_ten(tmp_path):
    needs_litert()
    from safetensors.numpy import load_file

    encoder = auricle.load("mn04_as", weights=PUBLISHED)
    graph = trace(encoder, length=10, any_length=False, batch_size=None, frames=False, one_shape=True)
    golden = load_file(TEN)
    inputs = {"wave": golden["waveform_32k"]}
    for quantize, megabytes in (("float16", 3.0), ("int8-weights", 2.5), ("int8-dynamic", 2.5), ("int8-static", 2.5)):
        [form] = forms_of("litert", quantize)
        write_graph(graph, "litert", tmp_path, form, [inputs])
        assert (tmp_path / "model.tflite").stat().st_size < 1e6 * megabytes
        scores = open_graph(tmp_path, "litert", graph.description, threads=1)(inputs)["scores"][0]
        assert np.argsort(-scores)[:10].tolist() == np.argsort(-golden["probabilities"][0])[:10].tolist(), quantize
