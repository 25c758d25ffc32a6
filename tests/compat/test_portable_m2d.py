"""PortableM2D: the read-me's snippets run, with the shapes that the original program gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import auricle
from auricle.commands.models.models import ConvertConfig, convert
from auricle.compat import PortableM2D
from auricle.core.errors import AuricleError
from auricle.data.audioset import audioset_classes_by_id
from auricle.hub.weight_file import save_encoder
from auricle.models.m2d.config import M2DHeadConfig, ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from helpers.golden_files import close, read_golden
from helpers.paths import GOLDEN

NAME = "m2d_as_vit_base-80x1001p16x16-toy_AS-FT_enconly/weights_ep69it3124-0.48494.pth"


@pytest.fixture(scope="module")
def weight_file(tmp_path_factory) -> str:
    """A small network in the published layout of an AudioSet fine-tune."""
    folder = tmp_path_factory.mktemp("weights")
    network = M2DEncoder(
        ViTConfig("80x1001", "16x16", embed_dim=64, depth=1), head=M2DHeadConfig(527, "tokens"), seed=2
    )
    save_encoder(network, folder / "toy.safetensors")
    (folder / NAME).parent.mkdir()
    convert(ConvertConfig(str(folder / "toy.safetensors"), "m2d", str(folder / NAME)))
    return str(folder / NAME)


def three_clips() -> torch.Tensor:
    return 2 * torch.rand((3, 10 * 16000), generator=torch.Generator().manual_seed(0)) - 1.0


def test_the_read_mes_embedding_snippet_gives_62_frames_where_it_prints_63(weight_file):
    """1001 spectrogram frames hold 62 columns of 16; the 9 frames left over are dropped."""
    model = PortableM2D(weight_file)
    batch_audio = three_clips()
    frame_level = model(batch_audio)
    assert frame_level.shape == (3, 62, 5 * 64)  # (3, 62, 3840) with the published width of 768
    clip_level = torch.mean(frame_level, dim=1)
    assert clip_level.shape == (3, 5 * 64)
    close(model.get_scene_embeddings(batch_audio), clip_level, 0)
    pretrained = M2DEncoder(ViTConfig("80x608", "16x16", embed_dim=64, depth=1), seed=2).eval()
    assert PortableM2D(pretrained)(batch_audio).shape == (3, 63, 5 * 64)


def test_the_tagging_snippet_gives_527_logits_in_the_order_of_ids(weight_file):
    model = PortableM2D(weight_file, num_classes=527)
    with torch.no_grad():
        logits = model(three_clips())
        frame_logits, milliseconds = model.forward_frames(three_clips())
    assert logits.shape == (3, 527)
    assert frame_logits.shape == (3, 62, 527)
    assert milliseconds[0, :2].tolist() == [0.0, pytest.approx(10000 / 62)]
    assert model.backbone.info.classes == audioset_classes_by_id()
    assert (model.flat_features, model.cfg.feature_d) == (True, 64)
    assert model.encode(three_clips()).shape == (3, 5 * 62, 64)
    tags = auricle.load(weight_file)(three_clips()).logits
    close(logits, tags, 0)


def test_settings_are_the_originals(weight_file):
    cfg = PortableM2D(weight_file).cfg
    assert (cfg.input_size, cfg.patch_size, cfg.sr, cfg.sample_rate) == ([80, 1001], [16, 16], "16k", 16000)
    assert (cfg.n_fft, cfg.window_size, cfg.hop_size, cfg.n_mels, cfg.f_min, cfg.f_max) == (400, 400, 160, 80, 50, 8000)
    assert (cfg.model, cfg.feature_d) == ("m2d_as_vit_base", 320)


def test_waveforms_come_with_or_without_batch_and_channel_and_of_any_length(weight_file):
    model, wave = PortableM2D(weight_file), three_clips()[:, :8000]
    close(model(wave[:, None]), model(wave), 0)
    close(model(wave[0]), model(wave[:1]), 0)
    assert model(wave[:, :1]).shape == (3, 1, 320)


def test_a_spectrogram_can_be_encoded_in_place_of_the_waveform():
    tensors, meta = read_golden(GOLDEN / "m2d" / "runtime_train_checkpoint_16k.safetensors")
    model = PortableM2D(GOLDEN / "m2d" / meta["checkpoint"])
    wave = tensors["waveform"][:, :33000]
    lms = model.to_normalized_feature(wave)
    assert lms.shape == (2, 1, 80, 207)
    close(model.encode_lms(lms), tensors["frames.33000"], 1e-4)
    close(torch.stack(model.encode_lms(lms, return_layers=True)), tensors["layers.33000"], 1e-4)
    long = PortableM2D(GOLDEN / "m2d" / meta["checkpoint"], dur_frames=260)
    close(long(tensors["waveform"][:, :41440]), tensors["dur_frames.260.41440"], 1e-4)


def test_a_fresh_classifier_is_trained_with_a_frozen_embedding(weight_file):
    with pytest.warns(UserWarning, match="has 527 classes, expected 4"):
        model = PortableM2D(weight_file, num_classes=4, freeze_embed=True, flat_features=False).train()
    assert model.backbone.head.linear.in_features == 320
    model(three_clips()[:, :8000]).square().sum().backward()
    assert model.backbone.head.linear.weight.grad.any()
    assert model.backbone.patch_embed.proj.weight.grad is None


def test_other_families_and_broken_files_are_refused(tmp_path):
    with pytest.raises(AuricleError, match="not an M2D encoder"):
        PortableM2D("logmel-stats")
    with pytest.raises(AuricleError, match="no weight file"):
        PortableM2D(Path(tmp_path / "nowhere.pth"))


def test_published_taggers_tag_files(weight_file, tmp_path):
    import numpy as np
    import soundfile

    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(80000), 16000)
    tags = auricle.tag(tmp_path / "a.wav", model=weight_file, top_k=3, window=2.0, hop=2.0)
    assert len(tags.results[0].tags) == 3
    assert tags.results[0].tags[0].label in {name for _, name in audioset_classes_by_id()}
    assert len(tags.results[0].windows) == 3
