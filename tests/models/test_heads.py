"""Heads on any family, and what their logits mean."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import auricle
from auricle.core.errors import AuricleError
from auricle.hub.weight_file import describe, read_encoder, save_encoder
from auricle.inference.embedder import Embedder
from auricle.models.heads.attentive import AttentiveHead
from auricle.models.heads.base import Head, HeadInputs
from auricle.models.heads.gated_layers import GatedLayersHead
from auricle.models.heads.make import HEADS, make_head
from auricle.models.heads.vector import LinearHead, PrototypeHead
from auricle.models.label_space import LabelSpace
from helpers.encoders import FAMILIES, logmel_stats, m2d, mn

BIRDS = LabelSpace("multilabel", ("robin", "wren", "none"), ("Robin", "Wren", "None"), background=("none",))


@pytest.fixture(params=FAMILIES, scope="module")
def encoder(request):
    return FAMILIES[request.param].make()


def wave(encoder, clips: int = 2) -> torch.Tensor:
    return 0.1 * torch.randn(clips, encoder.info.sample_rate, generator=torch.Generator().manual_seed(0))


def has_blocks(encoder) -> bool:
    return encoder.info.depth > 0


def with_statistics(head: Head) -> Head:
    """``head`` with statistics of its inputs that change them."""
    generator = torch.Generator().manual_seed(3)
    dim = sum(head.layer_dims) if isinstance(head, GatedLayersHead) else head.input_dim
    mean, std = 0.1 * torch.randn(dim, generator=generator), 0.5 + torch.rand(dim, generator=generator)
    (head.fold_input_stats if isinstance(head, LinearHead) else head.set_input_stats)(mean, std)
    return head


def with_many_heads(encoder):
    """``encoder`` with a head of each kind that takes statistics, in evaluation mode: one pass gives the logits of all."""
    kinds = {"main": "gated-layers" if has_blocks(encoder) else "linear", "attentive": "attentive"}
    kinds |= {"linear": "linear", "prototype": "prototype"}
    detector = encoder
    for name, kind in kinds.items():
        detector = detector.with_head(with_statistics(make_head(kind, encoder, 3)), name=name)
    return detector.eval()


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("reads", ["clip", "frames"])
def test_a_head_fits_every_family_and_the_original_stays(encoder, kind, reads):
    if kind == "gated-layers" and not has_blocks(encoder):
        pytest.skip("this family has no blocks")
    if reads == "clip" and kind in ("transformer", "attentive", "gated-layers"):
        pytest.skip("this head always reads the same")
    before, had = encoder.fingerprint(), encoder.info
    detector = encoder.with_head(make_head(kind, encoder, 3, reads=reads), BIRDS)
    assert (encoder.fingerprint(), encoder.info) == (before, had)
    assert detector.info.head_names == ("main",)
    assert detector.info.label_space == BIRDS
    out = detector(wave(encoder))
    assert out.logits.shape == (2, 3)
    assert out.logits.dtype == torch.float32
    assert torch.equal(out.head_logits["main"], out.logits)
    if out.frame_logits is not None:
        assert out.frame_logits.shape == (*out.frames.shape[:2], 3)


def test_frames_and_clip_are_those_of_the_encoder_without_a_head(encoder):
    bare, detector = encoder.without_head(), encoder.with_head(make_head("linear", encoder, 3))
    out, expected = detector(wave(encoder)), bare(wave(encoder))
    assert expected.logits is None
    assert torch.equal(out.clip, expected.clip)
    assert torch.equal(out.frames, expected.frames)


def test_a_batch_of_other_lengths_gives_the_logits_of_each_clip_alone(encoder):
    detector = with_many_heads(encoder).with_head(make_head("mlp", encoder, 3, reads="frames"), name="mlp")
    rate = encoder.info.sample_rate
    audio, lengths = wave(encoder), torch.tensor([rate, rate // 3])
    batch = detector(audio, lengths).head_logits
    for i, n in enumerate(lengths):
        alone = detector(audio[i : i + 1, :n]).head_logits
        for name in detector.info.head_names:
            torch.testing.assert_close(batch[name][i : i + 1], alone[name], atol=1e-4, rtol=1e-4)


def test_gradients_reach_the_heads_and_the_encoder(encoder):
    detector = with_many_heads(encoder).with_head(make_head("mlp", encoder, 3), name="mlp").train()
    sum(logits.square().mean() for logits in detector(wave(encoder)).head_logits.values()).backward()
    silent = {n for n, p in detector.named_parameters() if p.grad is None or not p.grad.any()}
    the_only_block = {"heads.main.gate"} if encoder.info.depth == 1 else set()  # always has the weight 1
    assert {name for name in silent if name.startswith("heads.")} == the_only_block
    if list(encoder.parameters()):
        assert any(not name.startswith("heads.") for name in set(dict(detector.named_parameters())) - silent)
    assert all(p.grad is None for p in encoder.parameters())


def test_the_weight_file_keeps_head_and_label_space(encoder, tmp_path):
    space = BIRDS.calibrated((1.0, 2.0, 1.0), (0.5, 0.0, 0.0), fitted_on="valley 2024")
    space = space.with_thresholds((0.3, 0.6, 0.5), fitted_on="valley 2024")
    detector = encoder.with_head(make_head("mlp", encoder, 3, hidden_dim=8, dropout=0.25), space)
    save_encoder(detector, tmp_path / "detector.safetensors")
    again = auricle.load(tmp_path / "detector.safetensors")
    assert again.info == detector.info
    assert again.info.label_space == space
    assert again.fingerprint() == detector.fingerprint()
    assert torch.equal(again(wave(encoder)).logits, detector.eval()(wave(encoder)).logits)
    assert describe(tmp_path / "detector.safetensors")["format"] == 2


@torch.no_grad()
def test_heads_with_statistics_are_the_same_after_saving_for_inference_and_as_core(encoder, tmp_path):
    detector = with_many_heads(encoder)
    save_encoder(detector, tmp_path / "detector.safetensors")
    again = auricle.load(tmp_path / "detector.safetensors")
    assert again.architecture() == detector.architecture()
    assert again.fingerprint() == detector.fingerprint()
    expected, read = detector(wave(encoder)).head_logits, again(wave(encoder)).head_logits
    ready = detector.for_inference()(wave(encoder)).head_logits
    for name, logits in expected.items():
        assert torch.equal(read[name], logits)
        torch.testing.assert_close(ready[name], logits, atol=1e-4, rtol=1e-4)
    core = detector.core(detector.frontend(wave(encoder)).values).logits
    torch.testing.assert_close(core, expected["main"], atol=1e-4, rtol=1e-4)


# ---- heads on stored features
@torch.no_grad()
def test_heads_on_stored_vectors_give_the_logits_of_the_detector(encoder):
    bare, detector, audio = encoder.without_head(), with_many_heads(encoder), wave(encoder, 1)
    pieces = (audio, audio[:, : encoder.info.sample_rate // 3])
    sounds = [(piece[0].numpy(), encoder.info.sample_rate) for piece in pieces]
    clip = torch.from_numpy(Embedder(bare)(sounds).clip)
    layers: tuple[torch.Tensor, ...] = ()
    if has_blocks(encoder):
        stored = Embedder(bare, layers="all")(sounds)
        assert stored.widths == encoder.layer_dims()
        layers = tuple(torch.from_numpy(stored.layer(block)) for block in range(encoder.info.depth))
    expected = [detector(piece).head_logits for piece in pieces]
    for name in set(detector.info.head_names) - {"attentive"}:
        logits = detector.heads[name](HeadInputs.of_vectors(clip, layers))
        for i, own in enumerate(expected):
            torch.testing.assert_close(logits[i : i + 1], own[name], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_attentive_head_on_stored_frames_gives_the_logits_of_the_detector(encoder):
    head = with_statistics(make_head("attentive", encoder, 3, per_class=True))
    torch.nn.init.normal_(head.attention.weight, generator=torch.Generator().manual_seed(0))
    detector = encoder.with_head(head).eval()
    out = detector(wave(encoder), torch.tensor([encoder.info.sample_rate, encoder.info.sample_rate // 3]))
    stored = HeadInputs.of_vectors(out.clip, frames=out.frames, lengths=out.lengths)
    torch.testing.assert_close(head(stored), out.logits, atol=1e-5, rtol=1e-4)
    assert out.frame_logits.shape == (*out.frames.shape[:2], 3)


def test_a_linear_head_takes_up_the_statistics_of_its_inputs():
    head = LinearHead(4, 3)
    x, mean, std = torch.randn(5, 4), torch.tensor([1.0, -2.0, 0.0, 5.0]), torch.tensor([0.1, 3.0, 1.0, 0.0])
    expected = head.vector_logits((x - mean) / torch.tensor([0.1, 3.0, 1.0, 1.0]))
    head.fold_input_stats(mean, std)
    torch.testing.assert_close(head.vector_logits(x), expected, atol=1e-5, rtol=1e-4)


def test_statistics_that_are_none_are_refused():
    for head in (LinearHead(2, 3), PrototypeHead(2, 3), AttentiveHead(2, 3), GatedLayersHead([0, 1], [1, 1], 3)):
        set_stats = head.fold_input_stats if isinstance(head, LinearHead) else head.set_input_stats
        with pytest.raises(AuricleError, match="features"):
            set_stats(torch.zeros(3), torch.ones(3))
        with pytest.raises(AuricleError, match="negative"):
            set_stats(torch.zeros(2), torch.tensor([1.0, -1.0]))


def test_a_file_with_an_impossible_standard_deviation_is_refused(tmp_path):
    detector = logmel_stats().with_head(PrototypeHead(256, 3))
    detector.heads["main"].standardise.input_std.zero_()
    save_encoder(detector, tmp_path / "detector.safetensors")
    with pytest.raises(AuricleError, match="input_std .* not positive"):
        auricle.load(tmp_path / "detector.safetensors")


def test_a_gated_layers_head_adds_the_scores_of_blocks_with_positive_weights_of_sum_one():
    encoder = mn()
    head = make_head("gated-layers", encoder, 3, layers=[2, -1], scores="linear")
    assert head.layers == (2, encoder.info.depth - 1)
    with torch.no_grad():
        head.gate.copy_(torch.tensor([1.0, -1.0]))
    weights = head.layer_weights()
    assert weights.sum().item() == pytest.approx(1)
    vectors = [torch.randn(4, dim) for dim in head.layer_dims]
    parts = [w * (v @ s.weight.T) for w, v, s in zip(weights, vectors, head.layer_scores)]
    torch.testing.assert_close(head(HeadInputs.of_vectors(vectors[0], vectors)), sum(parts), atol=1e-5, rtol=1e-4)
    with pytest.raises(AuricleError, match="logmel-stats has none"):
        make_head("gated-layers", logmel_stats(), 3)
    with pytest.raises(AuricleError, match="reads the blocks"):
        logmel_stats().with_head(head)
    with pytest.raises(AuricleError, match="the encoder's blocks have"):
        m2d().with_head(GatedLayersHead([0], [3], 2))(wave(encoder))


def test_prototypes_score_by_direction_alone():
    head = PrototypeHead(2, 2)
    with torch.no_grad():
        head.prototypes.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 5.0]]))
    logits = head.vector_logits(torch.tensor([[3.0, 0.0], [300.0, 0.0]]))
    torch.testing.assert_close(logits, torch.tensor([[10.0, 0.0], [10.0, 0.0]]))


def test_every_parameter_is_in_one_group_from_the_input_to_the_head(encoder):
    detector = encoder.with_head(make_head("linear", encoder, 3))
    for network in (encoder, detector):
        groups = network.layer_groups()
        named = [name for group in groups for name in group.parameter_names]
        assert sorted(named) == sorted(dict(network.named_parameters()))
        assert len({group.name for group in groups}) == len(groups)
        for group in groups:
            assert len(group.parameters) == len(group.parameter_names)
    last = detector.layer_groups()[-1]
    assert last.parameter_names[-1].startswith("heads.main.")


@pytest.mark.parametrize("family", ["m2d", "mae-ast-patch", "mae-ast-chunked-pre-norm", "mn", "dymn"])
def test_groups_stand_in_the_order_in_which_the_network_runs(family):
    """A change of a later group leaves the output of earlier blocks alone."""
    encoder = FAMILIES[family].make()
    audio, groups = wave(encoder, 1), {group.name: group for group in encoder.layer_groups()}
    names = [name for name in groups if name.startswith("block")]
    before = encoder(audio, layers="all").layers
    with torch.no_grad():
        for parameter in groups[names[-1]].parameters:
            parameter.mul_(1.5).add_(0.1)
    after = encoder(audio, layers="all").layers
    changed = [not torch.equal(a.frames, b.frames) for a, b in zip(before, after, strict=True)]
    assert changed[len(names) - 1]
    assert not any(changed[: len(names) - 1])


def test_several_heads_give_logits_in_one_pass(tmp_path):
    encoder = mn()
    places = LabelSpace("multiclass", ("wood", "river"))
    both = encoder.with_head(make_head("linear", encoder, 2, seed=1), places, name="place")
    both = both.with_head(make_head("linear", encoder, 3), BIRDS, name="birds")
    assert both.info.head_names == ("main", "place", "birds")
    assert both.info.label_spaces == (encoder.info.label_space, places, BIRDS)
    out = both(wave(encoder))
    assert {name: tuple(x.shape) for name, x in out.head_logits.items()} == {
        "main": (2, 5), "place": (2, 2), "birds": (2, 3),
    }  # fmt: skip
    assert torch.equal(out.logits, encoder(wave(encoder)).logits)
    save_encoder(both, tmp_path / "both.safetensors")
    again = read_encoder(tmp_path / "both.safetensors")
    assert again.info == both.info
    assert torch.equal(again(wave(encoder)).head_logits["birds"], out.head_logits["birds"])
    replaced = both.with_head(make_head("linear", encoder, 4), name="place")
    assert replaced(wave(encoder)).head_logits["place"].shape == (2, 4)
    assert replaced.num_classes("birds") == 3
    assert replaced.without_head().info.head_names == ()


def test_a_head_reads_the_blocks_in_its_layers():
    class FirstBlock(Head):
        kind, num_classes, layers = "first-block", 2, (0,)

        def forward(self, inputs: HeadInputs) -> torch.Tensor:
            (block,) = inputs.layers
            return block.mean(1)[:, :2]

        def per_frame(self, frames):
            return None

        def settings(self):
            return {"kind": self.kind}

    encoder = m2d()
    detector = encoder.with_head(FirstBlock())
    out = detector(wave(encoder), layers=[1])
    expected = encoder(wave(encoder), layers=[0]).layers[0].frames.mean(1)[:, :2]
    torch.testing.assert_close(out.logits, expected)
    assert len(out.layers) == 1
    spec = detector.frontend(wave(encoder))
    torch.testing.assert_close(detector.core(spec.values).logits, expected, atol=1e-5, rtol=1e-4)


def test_the_form_for_inference_has_the_head(encoder):
    detector = encoder.with_head(make_head("linear", encoder, 3), BIRDS)
    with torch.no_grad():
        expected = detector.eval()(wave(encoder)).logits
        ready = detector.for_inference()
        torch.testing.assert_close(ready(wave(encoder)).logits, expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ready.logits(wave(encoder)), expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(AuricleError, match="put the head on the encoder itself"):
        ready.with_head(make_head("linear", encoder, 3))


def test_heads_and_label_spaces_must_agree():
    encoder = logmel_stats()
    head = make_head("linear", encoder, 3)
    with pytest.raises(AuricleError, match="3 classes, the label space 2"):
        encoder.with_head(head, LabelSpace("multilabel", ("a", "b")))
    with pytest.raises(AuricleError, match="no head 'main'"):
        encoder.set_label_space(BIRDS)
    with pytest.raises(AuricleError, match="has 3 classes, the label space 1"):
        encoder.with_head(head).set_label_space(LabelSpace("multilabel", ("a",)))
    with pytest.raises(AuricleError, match="did you mean linear"):
        make_head("linaer", encoder, 3)
    with pytest.raises(AuricleError, match="reads 5 values, the encoder's clip have 256"):
        encoder.with_head(LinearHead(5, 3))(wave(encoder))
    unnamed = encoder.with_head(head)
    assert (unnamed.info.classes, unnamed.info.label_type) == (None, "multilabel")
    assert unnamed.info.label_space.names == ("class 0", "class 1", "class 2")


# ---- label spaces
def test_probabilities_are_calibrated_sigmoids_or_softmaxes():
    logits = torch.tensor([[0.0, 1.0, -2.0]])
    torch.testing.assert_close(BIRDS.probabilities(logits), logits.sigmoid())
    space = BIRDS.calibrated((2.0, 1.0, 0.5), (1.0, 0.0, -1.0), fitted_on="x")
    torch.testing.assert_close(space.probabilities(logits), torch.tensor([[1.0, 1.0, -2.0]]).sigmoid())
    exclusive = replace(space, kind="multiclass")
    torch.testing.assert_close(exclusive.probabilities(logits), torch.tensor([[1.0, 1.0, -2.0]]).softmax(-1))


def test_decisions_follow_thresholds_and_never_name_the_background():
    logits = torch.tensor([[0.1, -0.1, 9.0], [-0.1, 3.0, -9.0]])
    assert BIRDS.decide(logits).tolist() == [[True, False, False], [False, True, False]]
    strict = BIRDS.with_thresholds((0.9, 0.4, 0.0), fitted_on="x")
    assert strict.decide(logits).tolist() == [[False, True, False], [False, True, False]]
    assert BIRDS.reported == (0, 1)


def test_of_classes_that_exclude_each_other_at_most_one_is_decided():
    space = LabelSpace("multiclass", ("a", "b", "none"), background=("none",))
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 5.0], [0.1, 0.2, 0.0]])
    assert space.decide(logits).tolist() == [[True, False, False], [False, False, False], [False, True, False]]
    careful = space.with_thresholds((0.5, 0.5, 0.5), fitted_on="x")
    assert careful.decide(logits).tolist() == [[True, False, False], [False, False, False], [False, False, False]]


def test_a_label_space_is_equal_after_json():
    space = BIRDS.calibrated((2.0, 1.0, 0.5), (1.0, 0.0, -1.0), fitted_on="a").with_thresholds(
        (0.1, 0.2, 1.0), fitted_on="b"
    )
    for one in (BIRDS, space, LabelSpace.unnamed(3, "multiclass")):
        assert LabelSpace.from_json(json.loads(json.dumps(one.as_json()))) == one
    assert LabelSpace.from_json({**space.as_json(), "of a newer version": 1}) == space
    assert space.uncalibrated() == BIRDS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "both"}, "multiclass or multilabel"),
        ({"ids": ()}, "one or more"),
        ({"ids": ("a", "a", "b")}, "each once"),
        ({"names": ("A",)}, "3 classes need as many names, not 1"),
        ({"thresholds": (0.5, 0.5)}, "as many thresholds, not 2"),
        ({"thresholds": (0.5, 1.5, 0.5)}, "between 0 and 1"),
        ({"scale": (1.0, 0.0, 1.0)}, "scales from 1e-30"),
        ({"scale": (1.0, 10**400, 1.0)}, "scales from 1e-30"),
        ({"offset": (0.0, 1e308, 0.0)}, "offsets from -1e"),
        ({"offset": (0.0, float("nan"), 0.0)}, "offsets from -1e"),
        ({"background": ("owl",)}, "'owl' is no class"),
    ],
)
def test_an_impossible_label_space_is_refused(values, message):
    with pytest.raises(AuricleError, match=message):
        replace(BIRDS, **values)


def test_logits_of_another_width_are_refused():
    with pytest.raises(AuricleError, match="3 classes, the logits have 4"):
        BIRDS.probabilities(torch.zeros(1, 4))
