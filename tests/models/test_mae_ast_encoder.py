"""The MAE-AST encoder agrees with the published model and both published upstreams, and does what they cannot."""

from __future__ import annotations

import pytest
import torch

import auricle
from auricle.core.errors import AuricleError
from auricle.models.layers import transformer as vit
from auricle.models.layers.transformer import line_rows, line_table
from auricle.models.mae_ast.config import PRESETS, MAEASTConfig
from auricle.models.mae_ast.encoder import MAEASTEncoder
from auricle.models.masking.patches import Mask
from auricle.models.outputs import Spectrogram
from helpers.encoders import mae_ast
from helpers.golden_files import close, read_golden, under
from helpers.mae_ast_golden import network
from helpers.paths import GOLDEN
from tolerances import TOLERANCES

MAE_AST = GOLDEN / "mae_ast"
RELATIVE = 1e-5  # of the largest value, plus 1: the reference's


def agree(found: torch.Tensor, wanted: torch.Tensor) -> None:
    close(found.reshape(wanted.shape), wanted, RELATIVE * (1 + float(wanted.abs().max())))


@pytest.fixture(params=["patch_chunk", "frame_random"], scope="module")
def golden(request):
    return read_golden(MAE_AST / f"{request.param}.safetensors")


@pytest.fixture(params=["patch_random", "patch_chunk", "frame_random", "frame_spans"], scope="module")
def any_golden(request, shared):
    return read_golden(shared / "golden" / "mae_ast" / f"{request.param}.safetensors")


def mask_of(tensors) -> Mask:
    hidden = tensors["mask.masked"].nonzero()[:, 1].view(len(tensors["mask.masked"]), -1)
    visible = tensors["mask.retained_order"]
    return Mask(torch.cat([visible, hidden], dim=1), visible.shape[1])


def spec_of(net: MAEASTEncoder, tensors) -> Spectrogram:
    lengths = (~tensors["feat.frame_padding_mask"]).sum(1)
    return Spectrogram(tensors["feat.fbank"].transpose(1, 2), lengths, net.front.hop_seconds, net.info.front_end)


def check_forward_pass(tensors, meta) -> None:
    net, mask = network(tensors, meta), mask_of(tensors)
    tokens = net.cut(net.normalise(tensors["in.fbank"].transpose(1, 2)))
    agree(net.post_extract_proj(tokens), tensors["eval.tokens_projected"])
    seen = net.encode_visible(tokens, mask.visible)
    agree(seen, tensors["eval.encoder_output"])
    agree(net.decode(seen, mask), tensors["eval.decoder_output"])
    reconstruction, classification = net.predict(tokens, mask)
    agree(reconstruction, tensors["eval.recon"])
    agree(classification, tensors["eval.class"])
    agree(torch.gather(tokens, 1, mask.hidden[..., None].expand(-1, -1, 256)), tensors["eval.target"])


def check_features(tensors, meta) -> None:
    net = network(tensors, meta)
    spec = spec_of(net, tensors)
    depth = net.config.depth
    out = net.with_decoder().encode(spec, layers="all", padding="published")
    for i, layer in enumerate(out.layers):
        name = f"feat.hidden.{i}" if i < depth else f"feat.decoder_hidden.{i - depth}"
        agree(layer.frames, tensors[name])
    agree(net.encode(spec, padding="published").tokens, tensors[f"feat.hidden.{depth - 1}"])
    agree(net.encode(spec, layers=[0], padding="published").layers[0].frames, tensors["feat.output_layer_1"])
    steps = net.steps(spec.lengths, spec.values.shape[2], "published")
    mask = net.key_mask(steps, spec.values.shape[2] // net.config.patch[1])
    assert torch.equal(~mask, tensors["feat.token_padding_mask"])


def test_the_forward_pass_of_pre_training_agrees(golden):
    check_forward_pass(*golden)


def test_all_layers_of_a_padded_batch_agree(golden):
    check_features(*golden)


def test_all_golden_networks_agree(any_golden):
    check_forward_pass(*any_golden)
    check_features(*any_golden)


def test_the_front_end_of_a_padded_batch_agrees(golden):
    tensors, meta = golden
    net, samples = network(tensors, meta), meta["info"]["feat_samples"]
    waves = torch.nn.utils.rnn.pad_sequence([tensors[f"feat.wav.{i}"] for i in range(3)], batch_first=True)
    for padding in ("published", "exact"):
        spec = net.frontend(waves, torch.tensor(samples), padding=padding)
        close(spec.values.transpose(1, 2), tensors["feat.fbank"], 3e-3)
        assert torch.equal(spec.lengths, (~tensors["feat.frame_padding_mask"]).sum(1))


@pytest.mark.parametrize("kind", ["patch", "frame"])
def test_both_published_upstreams_agree(kind):
    tensors = under(read_golden(MAE_AST / "expert.safetensors")[0], f"{kind}.")
    net = auricle.load(MAE_AST / f"checkpoint_tiny_{kind}.pt")
    waves = [tensors[f"wav.{i}"] for i in range(3)]
    batch = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
    out = net(batch, torch.tensor([len(wave) for wave in waves]), layers="all", padding="published")
    for i, layer in enumerate(out.layers):
        agree(layer.frames, tensors[f"s3prl_hidden.{i}"])  # tokens of a time step side by side
    agree(out.tokens, tensors["author_hidden.1"])  # tokens as they are
    assert out.frames.shape == tensors["s3prl_hidden.1"].shape


def test_exact_padding_gives_each_clip_what_it_gets_alone():
    net, waves = mae_ast("16x16"), 0.1 * torch.randn(2, 24000, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([24000, 9000])
    alone = net(waves[1:, :9000])
    exact, published = net(waves, lengths), net(waves, lengths, padding="published")
    close(exact.frames[1, : int(exact.lengths[1])], alone.frames[0], 1e-5)
    assert published.lengths.tolist() == [9, 4]  # the last, incomplete step of the shorter clip counts there
    assert exact.lengths.tolist() == [9, 3]
    assert not torch.allclose(published.frames[1, :3], alone.frames[0], atol=1e-4)


def test_times_are_the_true_centres():
    out = mae_ast("16x16")(torch.zeros(1, 16000))
    close(out.times[:3], (16 * torch.arange(3) + 7.5) * 0.01 + 0.0125, 1e-6)
    out = mae_ast("128x2")(torch.zeros(1, 16000))
    close(out.times[:3], (2 * torch.arange(3) + 0.5) * 0.01 + 0.0125, 1e-6)


def test_sound_past_the_position_table_is_encoded_in_chunks_of_it():
    net = mae_ast(max_token_length=43)  # 5 whole steps of 8 tokens: 80 frames
    assert net.info.chunk_frames == 80
    spec = net.frontend(0.1 * torch.randn(1, 32000, generator=torch.Generator().manual_seed(0)))
    whole = net.encode(spec)
    assert whole.frames.shape[1] == spec.values.shape[2] // 16 == 12
    for start in (0, 80, 160):
        piece = Spectrogram(spec.values[:, :, start : start + 80], torch.tensor([80]), spec.hop_seconds, spec.front_end)
        piece = Spectrogram(piece.values, torch.tensor([piece.values.shape[2]]), spec.hop_seconds, spec.front_end)
        close(whole.frames[:, start // 16 :][:, :5], net.encode(piece).frames, 1e-5)
    with pytest.raises(AuricleError, match="position table"):
        net.positions("enc", 44)


def test_long_recordings_are_encoded_in_passes_of_bounded_size(monkeypatch):
    net, waves = mae_ast(), 0.1 * torch.randn(5, 16000, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([9000, 16000, 400, 12000, 16000])
    whole = net(waves, lengths)
    monkeypatch.setattr("auricle.models.mae_ast.encoder.TOKENS_PER_PASS", 100)
    close(net(waves, lengths).frames, whole.frames, 1e-5)


def test_a_spectrogram_shorter_than_a_token_is_refused():
    net = mae_ast()
    with pytest.raises(AuricleError, match="16 frames or more"):
        net.encode(Spectrogram(torch.zeros(1, 128, 15), torch.tensor([15]), 0.01, net.info.front_end))


def test_a_visible_subset_of_all_tokens_is_the_whole():
    net = mae_ast()
    spec = net.frontend(0.1 * torch.randn(2, 16000, generator=torch.Generator().manual_seed(0)))
    everything = torch.arange(48).expand(2, -1)
    close(net.encode(spec, ids_keep=everything).tokens, net.encode(spec).tokens, 1e-5)
    assert net.encode(spec, ids_keep=everything[:, :9]).frames is None


def test_pre_norm_ends_with_the_norm_and_positions_can_be_left_out():
    net = mae_ast(layer_norm_first=True, enc_sine_pos=False)
    assert net.positions("enc", 5) is None
    close(net(torch.randn(1, 9000)).tokens.mean(-1), torch.zeros(1, 24), 1e-5)  # normalised, of unit weights
    tokens = torch.randn(1, 40, 256)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))[None]
    close(net.encode_visible(tokens, order), net.encode_visible(tokens, torch.arange(40)[None])[:, order[0]], 1e-5)


def test_pre_norm_layers_are_the_formulas():
    """x + attention(norm(x)), then x + mlp(norm(x)); a norm at the end.

    Source: [mae_ast 4.2](docs/specification/mae_ast.md#s4-2), [4.3](docs/specification/mae_ast.md#s4-3).
    """
    stack = mae_ast(layer_norm_first=True).encoder
    x = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))
    want = x
    for block in stack.blocks:
        q, k, v = (part.unflatten(2, (2, 16)).transpose(1, 2) for part in block.attn.qkv(block.norm1(want)).chunk(3, 2))
        mixed = (q @ k.transpose(2, 3) / 4).softmax(-1) @ v
        want = want + block.attn.proj(mixed.transpose(1, 2).flatten(2))
        want = want + block.mlp.fc2(torch.nn.functional.gelu(block.mlp.fc1(block.norm2(want))))
    close(stack(x), stack.norm(want), 1e-5)
    close(stack.layers(x, [1])[0], stack.norm(want), 1e-5)


def test_dropout_acts_only_in_training_and_in_every_place():
    tokens, order = torch.randn(1, 12, 256), torch.arange(12)[None]
    none = dict.fromkeys(
        ("dropout", "attention_dropout", "activation_dropout", "dropout_input", "encoder_layerdrop"), 0.0
    )
    for name in none:
        net = mae_ast(**{**none, name: 0.5})
        with torch.no_grad():
            quiet = [net.encode_visible(tokens, order) for _ in range(2)]
            torch.manual_seed(0)
            loud = [net.train().encode_visible(tokens, order) for _ in range(8)]
            torch.manual_seed(0)
            again = net.encode_visible(tokens, order)
        assert torch.equal(*quiet), name
        assert any(not torch.equal(loud[0], other) for other in loud[1:]), name
        assert torch.equal(loud[0], again), name  # the loop seeds the generator that it draws from


def test_attention_in_bf16_is_the_same_in_parts(monkeypatch):
    q, k, v = torch.randn(3, 1, 2, 50, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    explicit = vit.attend(q, k, v, None)
    monkeypatch.setattr(vit, "EXPLICIT_SCORES", 100)
    close(vit.attend(q, k, v, None).float(), explicit.float(), 2e-2)


def test_statistics_come_from_the_batch_in_training_and_are_followed():
    net = MAEASTEncoder(mae_ast().config).train()
    values = 3 * torch.randn(4, 128, 50, generator=torch.Generator().manual_seed(0)) - 6
    normal = net.normalise(values)
    close(normal.mean(), torch.tensor(0.0), 1e-5)
    close(normal.std(unbiased=False), torch.tensor(0.5), 1e-5)
    close(net.batch_norm.running_mean, 0.1 * values.mean()[None], 1e-5)
    close(net.batch_norm.running_var, 0.9 + 0.1 * values.var()[None], 1e-4)
    mean, std = net.eval().statistics()
    close(net.normalise(values), (values - mean) / std / 2, 1e-5)
    close(net.with_stats(-4.25, 4.5).normalise(values), (values + 4.25) / 9, 1e-5)


def test_layers_are_skipped_in_training_and_never_in_features():
    still = dict.fromkeys(("dropout", "attention_dropout", "dropout_input"), 0.0)
    net = mae_ast(encoder_layerdrop=0.5, depth=4, **still).train()
    tokens, everything = torch.randn(1, 12, 256), torch.arange(12)[None]
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = {float(net.encode_visible(tokens, everything)[0, 0, 0]) for _ in range(60)}
        assert 4 < len(drawn) <= 16  # subsets of four layers
        assert len({float(net.eval().encode_visible(tokens, everything)[0, 0, 0]) for _ in range(3)}) == 1
    assert len(net.train()(torch.randn(1, 9000), layers="all").layers) == 4


def test_positions_are_the_published_tables():
    tensors, _ = read_golden(MAE_AST / "frontend_few.safetensors")
    rows = [0, 1, 2, 495, 1000, 47999]
    close(
        line_table(768, 48000)[rows],
        tensors["sinusoid_768_positions_0_1_2_495_1000_47999"],
        TOLERANCES["positions below 48000"].atol,
    )
    close(line_table(128, 64), tensors["sinusoid_64x128"], TOLERANCES["positions below 64"].atol)
    assert torch.equal(line_rows(64, 3000, torch.device("cpu")), line_table(64, 3000))


def test_base_sizes_are_the_published_ones():
    with torch.device("meta"):
        counts = [sum(p.numel() for p in MAEASTEncoder(config).parameters()) for config in PRESETS.values()]
    assert counts == [99_826_176, 99_826_176]


def test_initialisation_is_the_published_one_and_keyed():
    net = MAEASTEncoder(mae_ast(embed_dim=96, ffn_dim=192, num_heads=2, use_post_enc_proj=True).config, seed=7)
    for linear in (net.encoder.blocks[1].attn.qkv, net.decoder.blocks[0].mlp.fc1):
        assert float(linear.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
        assert not linear.bias.any()
    for linear in (net.post_extract_proj, net.final_proj_classification, net.post_enc_proj):
        assert float(linear.weight.detach().abs().max()) == pytest.approx(linear.in_features**-0.5, rel=0.02)
        assert linear.bias.any()
    assert 0 <= float(net.decoder_mask_emb.detach().min()) < float(net.decoder_mask_emb.detach().max()) < 1
    assert MAEASTEncoder(net.config, seed=7).fingerprint() == net.fingerprint()
    assert MAEASTEncoder(net.config, seed=8).fingerprint() != net.fingerprint()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": "48x16"}, "cannot be cut into tokens 48 high"),
        ({"num_heads": 5}, "divide by the number of heads"),
        ({"decoder_embed_dim": 512, "num_heads": 8}, "needs --use-post-enc-proj"),
        ({"depth": 0}, "at least one layer"),
        ({"dropout": 1.0}, "below 1"),
        ({"max_token_length": 7}, "time step"),
    ],
)
def test_impossible_sizes_are_refused(changes, message):
    with pytest.raises(AuricleError, match=message):
        MAEASTConfig(**changes)
