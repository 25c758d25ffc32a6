"""`auricle prepare speech`: features beside spectrograms, of the padded recording, resumable; a tiny random HuBERT."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from auricle.cli.main import main
from auricle.commands.prepare.speech import SpeechConfig, padded_wave, prepare_speech
from auricle.core.errors import AuricleError
from auricle.core.executors.base import LocalExecutor
from auricle.core.executors.config import ExecutorSettings
from auricle.data.datasets.speech import SpeechPairs, features_path
from auricle.data.manifest.formats import read_manifest
from auricle.inference.speech_features import SpeechFeatures, check_hop, standardised
from auricle.training.log import read_log
from helpers.corpus_workers import KilledOnce
from helpers.sounds import tone, write_sound


class TinySpeech(nn.Module):
    """HuBERT's calling convention: 400-sample windows every 320 samples; layer k is k + 1 times the means."""

    def forward(self, values: torch.Tensor, output_hidden_states: bool) -> SimpleNamespace:
        frames = values.unfold(-1, 400, 320).unflatten(-1, (8, 50)).mean(-1)
        return SimpleNamespace(hidden_states=tuple((k + 1) * frames for k in range(3)))


@pytest.fixture
def speech(tmp_path):
    write_sound(tmp_path / "speech/a/long.flac", tone(1.5))
    write_sound(tmp_path / "speech/b/short.flac", tone(0.5))
    return tmp_path / "speech"


def config(speech, out, **changes) -> SpeechConfig:
    return SpeechConfig(str(speech), str(out), **{"layer": 2, "min_seconds": 1.0, "quiet": True, **changes})


def test_features_are_those_of_the_padded_standardised_recording(speech, tmp_path):
    extract = SpeechFeatures(TinySpeech(), 2)
    result = prepare_speech(config(speech, tmp_path / "out"), extract)
    assert (result.done, result.skipped, result.failed) == (2, 0, ())
    manifest = read_manifest(tmp_path / "out")
    clip = manifest["b/short.flac"]
    stored = np.load(features_path(manifest, clip))
    wave = padded_wave(manifest, clip, 1.0)
    assert len(wave) == 16000
    assert (stored.shape, stored.dtype) == ((1, 1 + (16000 - 400) // 320, 8), np.float32)
    np.testing.assert_array_equal(stored[0], extract(wave))
    assert np.load(manifest.spectrogram(clip)).shape == (1, 80, 101)
    data = SpeechPairs(manifest, 80, 2)
    assert data.pair(clip).valid == 49 * 8000 // 16000
    assert data[0].crop.targets.shape == (40, 8)


def test_the_waveform_is_normalised_to_zero_mean_and_unit_variance():
    wave = standardised(3 + 0.1 * tone(0.1))
    assert wave.dtype == np.float32
    assert abs(wave.mean()) < 1e-5
    assert wave.std() == pytest.approx(1, abs=1e-3)


def test_finished_features_are_kept_and_changed_ones_computed_again(speech, tmp_path):
    extract = SpeechFeatures(TinySpeech(), 2)
    prepare_speech(config(speech, tmp_path / "out"), extract)
    assert prepare_speech(config(speech, tmp_path / "out"), extract).skipped == 2
    (tmp_path / "out/features/a/long.npy").unlink()
    write_sound(speech / "b/short.flac", tone(0.6))
    (speech / "broken.flac").write_text("no sound")
    result = prepare_speech(config(speech, tmp_path / "out"), extract)
    assert (result.done, result.skipped, len(result.failed)) == (2, 0, 1)


def test_half_precision_and_other_settings(speech, tmp_path):
    extract = SpeechFeatures(TinySpeech(), 2)
    prepare_speech(config(speech, tmp_path / "out", float16=True), extract)
    assert np.load(tmp_path / "out/features/b/short.npy").dtype == np.float16
    with pytest.raises(AuricleError, match="layer was 2, now 1"):
        prepare_speech(config(speech, tmp_path / "out", float16=True, layer=1), extract)


def test_a_layer_or_a_model_that_does_not_fit_is_refused():
    with pytest.raises(AuricleError, match="hidden states 0 to 2, not 9"):
        SpeechFeatures(TinySpeech(), 9)(tone(0.1))
    with pytest.raises(AuricleError, match="320 samples between features"):
        check_hop(SimpleNamespace(conv_stride=(5, 2)), "other")
    with pytest.raises(AuricleError, match="it has none"):
        check_hop(SimpleNamespace(), "bert")
    with pytest.raises(AuricleError, match="must be 0"):
        SpeechConfig("a", "b", layer=-1)


def test_without_transformers_the_extra_is_named(speech, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    assert main(["prepare", "speech", str(speech), "--out", str(tmp_path / "out")]) == 2
    assert "auricle[hf]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def hubert(tmp_path_factory):
    """A HuBERT of the transformers library with random weights, saved to a folder."""
    transformers = pytest.importorskip("transformers", reason="the [hf] extra is not installed")
    settings = transformers.HubertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("hubert")
    transformers.HubertModel(settings).save_pretrained(folder)
    return folder


def test_a_real_hubert_gives_the_hidden_states_of_its_layer(hubert, speech, tmp_path):
    import transformers

    words = [
        "prepare",
        "speech",
        str(speech),
        "--out",
        str(tmp_path / "out"),
        "--features",
        str(hubert),
        "--layer",
        "2",
    ]
    assert main([*words, "--min-seconds", "1", "--device", "cpu", "--quiet"]) == 0
    manifest = read_manifest(tmp_path / "out")
    clip = manifest["b/short.flac"]
    wave = torch.from_numpy(standardised(padded_wave(manifest, clip, 1.0)))[None]
    with torch.no_grad():
        model = transformers.HubertModel.from_pretrained(hubert).eval()
        expected = model(wave, output_hidden_states=True).hidden_states[2]
    stored = np.load(features_path(manifest, clip))
    assert stored.shape == (1, 49, 16)
    np.testing.assert_allclose(stored, expected.numpy(), atol=1e-5)


def test_a_missing_model_is_refused(hubert, speech, tmp_path, capsys):
    assert (
        main(["prepare", "speech", str(speech), "--out", str(tmp_path / "out"), "--features", str(tmp_path / "none")])
        == 2
    )
    assert "cannot be loaded" in capsys.readouterr().err


SMALL = {
    "input_size": "80x40", "patch_size": "80x4", "embed_dim": 16, "depth": 1, "num_heads": 2, "decoder_embed_dim": 16,
    "decoder_depth": 1, "decoder_num_heads": 2, "epochs": 1, "warmup_epochs": 0, "batch_size": 2, "workers": 0,
    "precision": "float32", "log_interval": 1,
}  # fmt: skip


def trained(source, out, *words: str) -> float:
    """The second loss of a small run of M2D-S from the command line."""
    small = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    assert main(["pretrain", str(source), "--method", "m2d-s", "--out", str(out), *small, *words, "--quiet"]) == 0
    return read_log(out / "metrics.jsonl", "step")[-1]["loss_off"]


def test_speech_and_noise_are_trained_on_from_sound_to_loss(speech, tmp_path):
    prepare_speech(config(speech, tmp_path / "out"), SpeechFeatures(TinySpeech(), 2))
    write_sound(tmp_path / "street/noise.wav", tone(1.0, hertz=90.0))
    assert trained(tmp_path / "out", tmp_path / "run", "--csv-bg-noise", str(tmp_path / "street")) > 0


def test_the_published_layout_is_trained_on_through_its_list(speech, tmp_path):
    prepare_speech(config(speech, tmp_path / "out"), SpeechFeatures(TinySpeech(), 2))
    manifest = read_manifest(tmp_path / "out")
    (tmp_path / "data/hybrid").mkdir(parents=True)
    for i, clip in enumerate(manifest):
        log_mel, features = np.load(manifest.spectrogram(clip)), np.load(features_path(manifest, clip))
        np.savez(tmp_path / f"data/hybrid/{i}.npz", log_mel, features, np.array(features.shape[1]))
    listed = tmp_path / "data/files.csv"
    assert main(["prepare", "list", str(tmp_path / "data/hybrid"), "--out", str(listed), "--suffix", ".npz"]) == 0
    assert trained(listed, tmp_path / "run", "--noise-ratio", "0") > 0


@pytest.mark.slow
def test_two_processes_write_the_features_of_one_also_when_one_is_killed(
    hubert, speech, quick_workers, tmp_path, monkeypatch
):
    for number in range(6):
        write_sound(speech / f"{number}.flac", tone(0.5, hertz=200.0 + 50 * number))
    make_executor, executors = ExecutorSettings.make_executor, []

    def mortal(*args):
        executors.append(KilledOnce(make_executor(*args), tmp_path) if executors else LocalExecutor(repeatable=True))
        return executors[-1]  # the first one makes spectrograms

    def written(executor: str) -> list[bytes]:
        settings = config(speech, tmp_path / executor, features=str(hubert), device="cpu", executor=executor, workers=2)
        assert prepare_speech(settings).done == 8
        return [file.read_bytes() for file in sorted((tmp_path / executor).glob("features/**/*.npy"))]

    expected = written("local")
    monkeypatch.setattr(ExecutorSettings, "make_executor", mortal)
    assert written("pool") == expected
    assert len(expected) == 8
    assert (tmp_path / "died").exists()
