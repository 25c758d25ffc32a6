"""``auricle export``: every family as one graph in its own runtime, with a certificate that is kept or refused."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import auricle
from auricle.cli.main import main
from auricle.commands.export import ExportConfig, export_model, verify_export
from auricle.core.errors import AuricleError, MissingExtra
from auricle.core.io import sha256_of
from auricle.detectors.files import load_description
from auricle.exporting.certificate import compared
from auricle.exporting.description import Description
from auricle.exporting.formats import write_graph
from auricle.exporting.graph import WaveformGraph, trace
from auricle.exporting.runner import runner
from auricle.exporting.runtimes import open_graph, pieces, replay
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from auricle.models.log_mel_stats import LogMelStats
from helpers.bundles import printed_by_runner
from helpers.detector_runs import make_detector
from helpers.encoders import dymn, logmel_stats, m2d, mae_ast, mn


def detector():
    """A small M2D with two heads: one calibrated, with thresholds and a background class; one whose classes exclude each other."""
    encoder = m2d("80x32", depth=1)
    birds = LabelSpace(
        "multilabel",
        ("wren", "crow", "noise"),
        ("Wren", "Crow", "Noise"),
        ("noise",),
        (0.5, 1.0, 2.0),
        (0.1, 0.0, -1.0),
    ).with_thresholds((0.2, 0.99, 0.1), fitted_on="a test")
    place = LabelSpace("multiclass", ("wood", "town"))
    first = encoder.with_head(make_head("mlp", encoder, 3, seed=1), birds)
    return first.with_head(make_head("attentive", encoder, 2, seed=2), place, name="place").eval()


def wave_of(samples: int, clips: int = 1) -> torch.Tensor:
    return 0.2 * torch.randn(clips, samples, generator=torch.Generator().manual_seed(samples))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The detector as a torch graph: the format whose runtime is always there."""
    return auricle.export(detector(), tmp_path_factory.mktemp("export") / "bundle", to="torch")


# ---- graphs and certificates
SMALL = {"mae-ast-patch": lambda: mae_ast(depth=1), "logmel-stats": logmel_stats, "mn": mn}


@pytest.mark.slow  # one trace and one conversion per family
@pytest.mark.parametrize("family", SMALL)
def test_a_family_is_exported_to_onnx_for_any_length_and_any_number_of_clips(family, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    encoder = SMALL[family]()
    result = auricle.export(encoder, tmp_path / "out", to="onnx", length=math.inf)
    assert result.description.samples is None
    assert result.description.batch_size is None
    assert set(result.certificate.largest) == set(result.description.outputs)
    run = open_graph(tmp_path / "out", "onnx", result.description, threads=1)
    for clips, samples in ((1, encoder.info.min_samples), (3, 30011)):
        wave = wave_of(samples, clips)
        with torch.no_grad():
            expected = encoder(wave).clip.numpy()
        np.testing.assert_allclose(run({"wave": wave.numpy()})["embedding"], expected, atol=1e-4, rtol=1e-4)
    verify_export(tmp_path / "out")


@pytest.mark.slow
def test_dymn_is_exported_for_any_length_and_one_clip(tmp_path):
    """On noise: with the random weights of a test, silence has logits of 1e9 and more, beyond any absolute limit.

    The eight blocks that MN squeezes are dynamic; a graph in which all fifteen are takes twice as long to make.
    """
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    encoder = dymn(dynamic_blocks="replace_se")
    graph = trace(encoder, length=None, any_length=True, batch_size=1, frames=False)
    write_graph(graph, "onnx", tmp_path)
    run = open_graph(tmp_path, "onnx", graph.description, threads=1)
    for samples in (encoder.info.min_samples, 40000):
        wave = wave_of(samples)
        with torch.no_grad():
            expected = encoder(wave)
        found = run({"wave": wave.numpy()})
        np.testing.assert_allclose(found["logits"], expected.logits, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(found["embedding"], expected.clip, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_m2d_is_exported_for_one_chunk_and_shorter_clips(to, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[to])
    encoder = m2d("80x32", depth=1)
    result = auricle.export(encoder, tmp_path / "out", to=to, frames=True)
    assert result.description.samples == encoder.front.samples_for(32)
    assert result.description.takes_samples
    verify_export(tmp_path / "out")
    text = b"".join(file.read_bytes() for file in (tmp_path / "out").glob("model.*"))
    assert str(Path(auricle.__file__).parent).encode() not in text, "the graph names folders of this machine"


def test_every_head_and_its_calibration_are_in_the_graph(bundle):
    assert bundle.description.outputs == ("scores", "logits", "scores_place", "logits_place", "embedding")
    assert bundle.certificate.labels == {"main": 3, "place": 2}
    encoder, run = detector(), open_graph(bundle.folder, "torch", bundle.description, threads=1)
    wave = wave_of(3000)
    [piece] = pieces(wave[0].numpy(), bundle.description)
    found = run(piece.inputs)
    with torch.no_grad():
        logits = encoder(wave).head_logits
    for name, space in zip(encoder.info.head_names, encoder.info.label_spaces):
        suffix = "" if name == "main" else f"_{name}"
        np.testing.assert_allclose(found[f"scores{suffix}"], space.probabilities(logits[name]), atol=1e-5)
    labels = json.loads((bundle.folder / "labels.json").read_text(encoding="utf-8"))["heads"][0]["label_space"]
    assert (labels["thresholds"], labels["background"]) == ([0.2, 0.99, 0.1], ["noise"])


def test_a_long_recording_is_run_in_windows_that_end_at_its_end():
    description = trace(m2d("80x32"), length=None, any_length=False, batch_size=1, frames=False).description
    size = description.window_samples
    wave = np.arange(2 * size + 5, dtype=np.float32)
    windows = [piece.wave for piece in pieces(wave, description)]
    assert [(window[0], len(window)) for window in windows] == [(0, size), (size, size), (size + 5, size)]


def test_the_fourier_matrices_of_the_32_khz_front_end_take_a_megabyte_and_a_half():
    module = WaveformGraph(LogMelStats().eval(), frames=False)
    program = torch.export.export(module, (wave_of(4000),), strict=False)
    assert sum(constant.numel() * 4 for constant in program.constants.values()) < 1.7e6


# ---- the bundle
def test_the_runner_gives_the_scores_of_the_model_without_this_package(bundle, tmp_path):
    soundfile.write(tmp_path / "a.wav", wave_of(9000)[0].numpy(), 16000, subtype="PCM_16")
    scores: dict[str, list[np.ndarray]] = {"main": [], "place": []}
    encoder = detector()
    samples, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    with torch.no_grad():
        for piece in pieces(samples, bundle.description):
            logits = encoder(torch.from_numpy(piece.wave[None])).head_logits
            for name, space in zip(encoder.info.head_names, encoder.info.label_spaces):
                scores[name].append(space.probabilities(logits[name])[0].numpy())
    main_scores, place = (np.max(scores[name], axis=0) for name in ("main", "place"))
    lines = printed_by_runner(bundle.folder, tmp_path / "a.wav", without=("auricle",))
    printed = {words[-1]: float(words[0]) for words in lines}
    assert set(printed) == {"Wren", "Crow", "wood", "town"}, "background is not reported"
    np.testing.assert_allclose([printed["Wren"], printed["Crow"]], main_scores[:2], atol=2e-6)
    np.testing.assert_allclose([printed["wood"], printed["town"]], place, atol=2e-6)
    starred = {words[-1] for words in lines if words[1] == "*"}
    assert starred == ({"Wren"} if main_scores[0] >= 0.2 else set()) | {("wood", "town")[int(place.argmax())]}


def test_the_runner_decides_in_each_window_and_names_a_wrong_file(tmp_path):
    """Two windows of a head of exclusive classes: the dog of one counts, although the background of the other is likelier."""
    stub = (
        "class InferenceSession:\n    def __init__(self, *args, **more): pass\n    def run(self, outputs, inputs):\n"
        "        rows = [[0.2, 0.75, 0.05]] if inputs['wave'][0, 0] > 0 else [[0.99, 0.0, 0.01]]\n"
        "        return [rows, rows, [[0.0]]]\n"
    )
    (tmp_path / "onnxruntime.py").write_text(stub, encoding="utf-8")
    space = {
        "kind": "multiclass",
        "ids": ["none", "dog", "cat"],
        "names": ["none", "Dog", "Cat"],
        "background": ["none"],
    }
    head = {"scores": "scores", "logits": "logits", "label_space": space | {"thresholds": [0.0, 0.7, 0.7]}}
    info = {"sample_rate": 16000, "window_samples": 8, "samples": 0, "min_samples": 1, "batch_size": None}
    (tmp_path / "labels.json").write_text(json.dumps(info | {"takes_samples": False, "heads": [head]}))
    (tmp_path / "run.py").write_text(runner("onnx"), encoding="utf-8")
    soundfile.write(tmp_path / "a.wav", np.repeat([0.5, -0.5], 8), 16000, subtype="PCM_16")
    lines = printed_by_runner(tmp_path, tmp_path / "a.wav", without=())
    assert [line[1:] for line in lines] == [["*", "Dog"], ["Cat"]]
    (tmp_path / "none.wav").touch()
    for name, words in (("none.wav", "the file is empty"), ("absent.wav", "No such file"), ("labels.json", "RIFF")):
        done = subprocess.run([sys.executable, "run.py", name], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_a_runner_is_short_and_needs_its_runtime_alone():
    for to in ("onnx", "openvino"):
        imported = [line for line in runner(to).splitlines() if line.startswith(("import", "from"))]
        assert not [line for line in imported if "torch" in line or "auricle" in line]
        assert len(runner(to).splitlines()) < 52


def test_the_certificate_holds_what_others_need(bundle):
    certificate = json.loads((bundle.folder / "certificate.json").read_text(encoding="utf-8"))
    assert {clip["clip"] for clip in certificate["clips"]} == {"silence", "full scale", "noise", "shortest", "long"}
    assert certificate["front_end"] == bundle.description.front_end
    assert set(certificate["files"]) == {"model.pt2", "labels.json", "golden.npz", "run.py", "README.md"}
    assert certificate["files"]["model.pt2"]["bytes"] == (bundle.folder / "model.pt2").stat().st_size
    assert {"source", "exported", "threads", "seconds"} == set(certificate["milliseconds"])
    assert "torch" in certificate["versions"]
    page = (bundle.folder / "certificate.md").read_text(encoding="utf-8")
    assert "| shortest |" in page
    assert "Licence of the weights" in page


def test_a_recording_is_replayed_too(tmp_path):
    soundfile.write(tmp_path / "street.flac", wave_of(8000)[0].numpy(), 8000)  # another rate
    result = auricle.export(m2d("80x32", depth=1), tmp_path / "out", to="torch", clip=[tmp_path / "street.flac"])
    assert result.certificate.clips[-1].clip == "street.flac"
    assert result.certificate.clips[-1].seconds == pytest.approx(1.0)
    assert not result.description.heads, "embeddings only"


# ---- what is refused
def test_verify_finds_a_file_that_changed_or_is_missing(bundle, tmp_path):
    import shutil

    assert verify_export(bundle.folder).clips
    copy = tmp_path / "copy"
    shutil.copytree(bundle.folder, copy)
    (copy / "run.py").write_text("print('hello')\n", encoding="utf-8")
    with pytest.raises(AuricleError, match=r"run\.py has changed"):
        verify_export(copy)
    (copy / "run.py").unlink()
    with pytest.raises(AuricleError, match=r"run\.py is missing"):
        verify_export(copy)
    with pytest.raises(AuricleError, match="is no bundle"):
        verify_export(tmp_path)


def test_an_error_above_the_limit_is_named(bundle):
    clips = {"one": np.full(4000, 1000, np.int16)}
    run = open_graph(bundle.folder, "torch", bundle.description, threads=1)

    def off(wave: np.ndarray):
        outputs = replay(run, wave, bundle.description)
        return outputs | {"scores_place": outputs["scores_place"] + np.float32(1e-3)}

    expected = {"one": replay(run, clips["one"], bundle.description)}
    found, failures = compared(clips, expected, off, bundle.description)
    assert failures == ["scores_place of the clip 'one' differ by 1.0e-03, the limit is 1e-05"]
    assert found[0].errors["scores_place"] == pytest.approx(1e-3, rel=1e-2)
    nothing = {"one": {name: np.full_like(value, np.nan) for name, value in expected["one"].items()}}
    _, failures = compared(clips, expected, lambda wave: nothing["one"], bundle.description)
    assert len(failures) == 5, "NaN is never close enough"


class Conversing(LogMelStats):
    """A network whose graph depends on its data."""

    def _core(self, values, lengths, layers):
        if float(values.mean()) > 0:
            values = values + 1
        return super()._core(values, lengths, layers)


def test_a_network_that_cannot_be_traced_leaves_nothing(tmp_path):
    with pytest.raises(AuricleError, match="cannot be traced"):
        auricle.export(Conversing().eval(), tmp_path / "out", to="torch")
    assert list(tmp_path.iterdir()) == []


class Drifting(LogMelStats):
    """A network whose graph is not what it computes otherwise."""

    def _core(self, values, lengths, layers):
        out, inner = super()._core(values, lengths, layers)
        return out._replace(clip=out.clip + 1e-2), inner


def test_an_export_that_differs_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(
        AuricleError, match=r"is refused, nothing was kept: embedding of the clip 'silence' differ by 1\.0e-02"
    ):
        auricle.export(Drifting().eval(), tmp_path / "out", to="torch")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_refused(tmp_path):
    with pytest.raises(AuricleError, match="exists; choose a new folder"):
        auricle.export(LogMelStats(), tmp_path, to="torch")


def test_a_runtime_that_is_absent_is_named_with_its_install_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtra, match=r"pip install 'auricle\[onnx\]'"):
        auricle.export(LogMelStats(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs --model MODEL and --out FOLDER"),
        ({"model": "m", "out": "o", "length": -1.0}, "--length is a number of seconds above 0"),
        ({"model": "m", "out": "o", "batch_size": 0}, "--batch-size must be"),
        ({"model": "m", "out": "o", "to": "coreml"}, "coreml"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(AuricleError, match=words):
        ExportConfig(**options)


def test_any_length_is_refused_where_the_graph_has_one():
    with pytest.raises(AuricleError, match="has one length"):
        trace(m2d("80x32"), length=None, any_length=True, batch_size=1, frames=False)


def test_the_export_of_a_detector_knows_how_long_the_clips_were_that_it_learnt_from(tmp_path):
    run = make_detector(tmp_path, sounds=False)
    learnt = load_description(run)["parts"]["train"]
    export_model(ExportConfig(model=str(run), out=str(tmp_path / "out"), to="torch"))
    assert Description.read(tmp_path / "out").clip_seconds == round(learnt["seconds"] / learnt["clips"], 3)


def test_a_fixed_length_of_a_convolutional_network_pads_shorter_clips(tmp_path):
    """As the source does with the padded clip; the window is what was asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = MN(MNConfig(width=0.1, num_classes=3), seed=1).eval()
    description = Description(
        "m", "mn", encoder.info.front_end, 32000, 514, 1000, 1000, False, 2, False, 0.32, (), "", "", ""
    )
    [piece] = pieces(np.ones(600, np.float32), description)
    assert piece.inputs["wave"].shape == (2, 1000)
    assert piece.wave.shape == (1000,)


def test_the_command_prints_what_was_written(tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["export", "--model", "logmel-stats", "--to", "torch", "--length", "1", "--out", out, "--json"]) == 0
    answer = capsys.readouterr()
    assert json.loads(answer.out)["largest_errors"]["embedding"] <= 1e-4
    assert "has no classes; the graph gives embeddings only" in answer.err
    assert main(["export", "--verify", out]) == 0
    assert "verified on" in capsys.readouterr().out
    assert main(["export", "--model", "logmel-stats", "--to", "torch", "--out", out]) == 2
    assert "exists" in capsys.readouterr().err


# ---- damaged bundles
DEEP = "[" * 100_000
DAMAGES = {
    "certificate.json": [
        (DEEP, "nested"),
        ({"to": "foo"}, "'foo'"),
        ({"files": {}}, "model.pt2"),
        ({"files": []}, "kind"),
    ],
    "labels.json": [(DEEP, "nested"), ({"sample_rate": 0}, "sample_rate"), ({"window_samples": -5}, "window_samples")],
}


@pytest.mark.parametrize(("file", "content", "message"), [(f, *d) for f, damages in DAMAGES.items() for d in damages])
def test_a_damaged_bundle_is_refused_in_words(bundle, tmp_path, file, content, message):
    folder = _copy(bundle.folder, tmp_path)
    values = json.loads((folder / file).read_text())
    (folder / file).write_text(content if isinstance(content, str) else json.dumps(values | content))
    _certify(folder)
    with pytest.raises(AuricleError, match=message):
        verify_export(folder)


def test_golden_clips_that_are_no_numbers_or_lack_an_output_verify_nothing(bundle, tmp_path):
    with np.load(bundle.folder / "golden.npz") as arrays:
        values = dict(arrays)
    changes = [
        ({}, "no clips"),
        ({**values, "noise/scores": np.full(3, np.nan)}, "no numbers"),
        ({name: value for name, value in values.items() if name != "noise/scores"}, "'noise' has"),
        ({**values, "noise/wave": np.zeros((2, 5), np.int16)}, "no wave"),
    ]
    for number, (arrays, message) in enumerate(changes):
        folder = _copy(bundle.folder, tmp_path / str(number))
        np.savez(folder / "golden.npz", **arrays)
        _certify(folder)
        with pytest.raises(AuricleError, match=message):
            verify_export(folder)


def test_a_graph_that_its_runtime_refuses_is_named(bundle, tmp_path):
    folder = _copy(bundle.folder, tmp_path)
    (folder / "model.pt2").write_bytes(b"PK")
    _certify(folder)
    with pytest.raises(AuricleError, match=r"model\.pt2 cannot be run here"):
        verify_export(folder)


def _copy(folder, place):
    return shutil.copytree(folder, place / "bundle")


def _certify(folder):
    """Give the certificate the checksums of the files as they are: the damage is older than it."""
    try:
        values = json.loads((folder / "certificate.json").read_text())
        for name, file in values["files"].items():
            file["sha256"] = sha256_of(folder / name)
        (folder / "certificate.json").write_text(json.dumps(values))
    except (RecursionError, AttributeError):
        pass


def test_a_full_disk_ends_an_export_in_words_and_leaves_nothing(tmp_path):
    """PyTorch's writer of archives ended the whole process."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # no file may grow above 4 kB
    try:
        with pytest.raises(AuricleError, match=r"cannot write .*model\.pt2.*make room"):
            auricle.export(detector(), tmp_path / "bundle", to="torch")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
