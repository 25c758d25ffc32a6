"""M2D's classifier, its published taggers by name, and what fine-tuning asks of the encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import auricle
from auricle.commands.models import models
from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.audioset import audioset_classes_by_id
from auricle.hub.published import table as records
from auricle.hub.weight_file import read_encoder, save_encoder
from auricle.models.m2d.config import M2DHeadConfig, ViTConfig, parse_size
from auricle.models.m2d.encoder import M2DEncoder
from auricle.models.m2d.head import TrainingMask
from helpers.golden_files import close
from helpers.paths import GOLDEN

CHECKPOINTS = GOLDEN / "m2d" / "checkpoints"
FLAT_HEAD = CHECKPOINTS / "m2d_as_vit_base-80x201p16x16-golden_AS-FT_enconly/weights_ep1it9-0.12345.pth"
TRAINING = CHECKPOINTS / "m2d_vit_base-80x208p16x16-golden-mr7/checkpoint-3.pth"


def toy(head: M2DHeadConfig | None = None, **changes) -> M2DEncoder:
    config = ViTConfig(**{"input_size": "80x64", "patch_size": "16x8", "embed_dim": 64, "depth": 1, **changes})
    return M2DEncoder(config, stats=(-7.0, 4.0), head=head, seed=1).eval()


def convert(source: Path, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    models.convert(models.ConvertConfig(str(source), "m2d", str(out)))


# ---- the classifier
def test_the_head_determines_pooling_and_the_clip_vector():
    flat = auricle.load(FLAT_HEAD)
    wave = torch.randn(2, 40000, generator=torch.Generator().manual_seed(0)) / 9
    out = flat(wave)
    assert flat.architecture()["head"] == {"num_classes": 13, "pools": "tokens"}
    assert (flat.info.clip_dim, flat.info.frame_dim) == (64, 320)
    close(out.clip, out.tokens.mean(1), 1e-5)
    close(flat.logits(wave), out.logits, 0)
    close(out.frame_logits.mean(1), out.logits, 1e-5)  # linear, with the running statistics
    assert flat.without_head()(wave).clip.shape == (2, 320)
    assert flat.without_head().info.classes is None
    assert flat(wave).logits is not None


def test_a_fresh_head_shares_the_weights_and_starts_near_zero():
    encoder = auricle.load(FLAT_HEAD)
    names = tuple((f"/m/{i}", f"class {i}") for i in range(5))
    twin = encoder.with_classes(5, classes=names, label_type="multiclass")
    assert (twin.info.classes, twin.head.config.pools) == (names, "tokens")
    assert twin.transformer is encoder.transformer
    assert 0 < twin.head.linear.weight.abs().max() < 1e-4
    assert encoder.head.linear.out_features == 13
    stacked = encoder.with_classes(5, pools="frames")
    assert stacked.head.linear.in_features == stacked.info.clip_dim == 320


def test_in_training_the_head_learns_its_statistics_and_takes_a_batch_of_one():
    encoder = toy(M2DHeadConfig(3, "frames")).train()
    wave = torch.randn(4, 8000, generator=torch.Generator().manual_seed(0))
    encoder(wave).logits.sum().backward()
    assert int(encoder.head.norm.num_batches_tracked) == 1
    assert encoder.head.norm.running_mean.abs().max() > 0
    assert torch.isfinite(encoder(wave[:1]).logits).all()
    assert int(encoder.head.norm.num_batches_tracked) == 1


def test_published_taggers_have_audiosets_classes_in_the_order_of_ids(tmp_path):
    name = "m2d_as_vit_base-80x64p16x8-toy_AS-FT_enconly"
    save_encoder(toy(M2DHeadConfig(527, "tokens")), tmp_path / "toy.safetensors")
    convert(tmp_path / "toy.safetensors", tmp_path / name / "weights_ep1it1-0.1.pth")
    encoder = auricle.load(tmp_path / name / "weights_ep1it1-0.1.pth")
    assert encoder.info.classes == audioset_classes_by_id()
    assert encoder.info.classes[:2] == (("/g/122z_qxw", "Firecracker"), ("/m/011k_j", "Timpani"))
    assert encoder.info.label_type == "multilabel"
    assert auricle.load(FLAT_HEAD).info.classes is None  # 13 classes of nobody knows what
    record = records.get("m2d_as_vit_base-80x1001p16x16-240213_AS-FT_enconly")
    assert records.of_file(Path(record.folder) / record.file) is record
    assert records.of_file(Path("elsewhere") / record.file) is None


def test_a_published_tagger_is_kept_with_its_classifier_and_classes(tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AURICLE_OFFLINE", "1")
    network = toy(M2DHeadConfig(527, "tokens"))
    row = records.get("m2d_vit_base-80x1001p16x16-221006-mr7_as_46ab246d")
    record = replace(
        row, config=network.config, name="m2d_vit_base-80x64p16x8-mr7_as", folder="m2d_vit_base-80x64p16x8"
    )
    monkeypatch.setattr(records, "RECORDS", (record,))
    save_encoder(network, tmp_path / "toy.safetensors")
    place = tmp_path / "cache" / "weights" / "published" / record.folder / record.file
    convert(tmp_path / "toy.safetensors", place)
    auricle.load(record.name)
    place.unlink()
    encoder = auricle.load(record.name)  # from our own file
    assert encoder.fingerprint() == network.fingerprint()
    assert (encoder.info.name, encoder.info.classes) == (record.name, audioset_classes_by_id())
    assert encoder.architecture() == record.architecture
    save_encoder(toy(M2DHeadConfig(4, "tokens")), tmp_path / "other.safetensors")
    convert(tmp_path / "other.safetensors", tmp_path / "other.pth")
    with pytest.raises(AuricleError, match="has 4 classes, .* has 527"):
        auricle.load(record.name, weights=tmp_path / "other.pth")
    assert auricle.load(tmp_path / "other.pth", record=record.name).info.classes is None


def test_the_table_counts_the_parameters_of_the_published_sizes():
    for record in records.list_models("m2d"):
        (rows, columns), width = parse_size(record.config.patch_size), record.config.embed_dim
        block = 12 * width**2 + 13 * width
        patches, head = width * (rows * columns + 1), len(record.classes or ()) * (width + 1)
        assert record.parameters == patches + 3 * width + record.config.depth * block + head


# ---- training options
def test_a_longer_duration_is_one_piece_and_too_long_an_input_is_refused(tmp_path):
    encoder = auricle.load(TRAINING).with_duration(260)
    assert encoder(torch.zeros(1, 259 * 160)).frames.shape[1] == 16
    assert encoder(torch.zeros(1, 200 * 160)).frames.shape[1] == 12  # 201 frames: the incomplete column is dropped
    assert encoder(torch.zeros(1, 1)).frames.shape[1] == 1
    with pytest.raises(AuricleError, match="up to 260 frames in one chunk, the input has 261"):
        encoder(torch.zeros(1, 260 * 160))
    save_encoder(encoder, tmp_path / "long.safetensors")
    again = read_encoder(tmp_path / "long.safetensors")
    wave = torch.randn(1, 41440, generator=torch.Generator().manual_seed(0)) / 9
    assert (again.info, again.fingerprint()) == (encoder.info, encoder.fingerprint())
    close(again(wave).frames, encoder(wave).frames, 0)


@pytest.mark.parametrize("published", [False, True])
def test_the_training_mask_hides_whole_rows_and_columns_in_training_only(published):
    encoder = toy(M2DHeadConfig(3, "tokens"), input_size="80x160")
    encoder.training_mask = TrainingMask(0.5, published)
    wave = torch.randn(2, 159 * 160, generator=torch.Generator().manual_seed(0))
    key = BatchKey(0, 0, (0, 1))
    assert encoder(wave, key=key).frames is not None
    encoder.train()
    out = encoder(wave, key=key)
    assert out.frames is None
    assert out.logits.shape == (2, 3)
    hidden = encoder.training_mask.draw(key, (5, 20)).binary.view(2, 5, 20).bool()
    assert out.tokens.shape[1] == 100 - int(hidden[0].sum())
    whole = [torch.equal(grid.all(1)[:, None] | grid.all(0), grid) for grid in hidden]
    assert whole == ([False, False] if published else [True, True])
    close(out.tokens, encoder(wave, key=key).tokens, 0)
    with pytest.raises(AuricleError, match="this encoder masks patches in training"):
        encoder(wave)
    with pytest.raises(AuricleError, match="between 0 and 1"):
        TrainingMask(1.0)


def test_every_chunk_of_a_longer_clip_has_a_training_mask_of_its_own():
    encoder, key = toy(M2DHeadConfig(3, "tokens"), input_size="80x160").train(), BatchKey(0, 0, (0, 1))
    encoder.training_mask = TrainingMask(0.5)
    wave = torch.randn(2, 239 * 160, generator=torch.Generator().manual_seed(0))  # 240 frames: 20 and 10 columns
    kept = [encoder.training_mask.draw(key, (5, 20 - 10 * chunk), chunk).visible.shape[1] for chunk in (0, 1)]
    assert encoder(wave, key=key).tokens.shape[1] == sum(kept)
    with pytest.raises(AuricleError, match="as many tokens are encoded of every clip"):
        encoder.eval().encode(encoder.frontend(wave), ids_keep=torch.tensor([[0, 100], [0, 1]]))


def test_a_part_of_the_tokens_of_a_short_clip_is_the_whole_when_all_are_kept():
    encoder = toy(input_size="80x160")
    wave = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))  # 51 frames: 7 columns of 20
    everything = torch.arange(35)[None]
    spec = encoder.frontend(wave)
    close(encoder.encode(spec, ids_keep=everything).tokens, encoder(wave).tokens, 1e-5)
    with pytest.raises(AuricleError, match="reads whole frames"):
        toy(M2DHeadConfig(3, "frames"), input_size="80x160").encode(spec, ids_keep=everything)


def test_a_frozen_embedding_gets_no_gradient():
    encoder = toy().train()
    encoder.freeze_embed()
    encoder(torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))).clip.sum().backward()
    assert encoder.patch_embed.proj.weight.grad is None
    assert encoder.cls_token.grad is not None


def test_the_front_end_has_as_many_bands_as_the_input_is_high():
    assert toy(input_size="80x64").info.front_end == "m2d-logmel/16k"
    assert toy(input_size="64x64").info.front_end == "m2d-logmel/16k-m64"
