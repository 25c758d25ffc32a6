"""Several detectors on one backbone as one network with several heads."""

from __future__ import annotations

import copy

import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from auricle.models.merge import merge_detectors
from helpers.encoders import FAMILIES, logmel_stats, m2d, mn

FROGS = LabelSpace("multilabel", ("frog", "toad")).with_thresholds((0.3, 0.6), fitted_on="pond")
ROOMS = LabelSpace("multiclass", ("hall", "street", "noise"), background=("noise",))


def detectors(encoder):
    """A detector of frogs and one of rooms on the same weights."""
    kinds = ("prototype", "gated-layers" if encoder.info.depth else "mlp")
    heads = [make_head(kind, encoder, len(space), seed=1) for kind, space in zip(kinds, (FROGS, ROOMS))]
    return [(name, encoder.with_head(h, s).eval()) for name, h, s in zip(("frogs", "rooms"), heads, (FROGS, ROOMS))]


def wave(encoder) -> torch.Tensor:
    return 0.1 * torch.randn(2, encoder.info.sample_rate // 2, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("family", ["m2d", "m2d-head-on-tokens", "mae-ast-patch", "mn", "logmel-stats", "ensemble"])
def test_every_head_gives_exactly_what_its_detector_gives(family):
    encoder = FAMILIES[family].make()
    parts = detectors(encoder)
    merged = merge_detectors(parts)
    assert merged.info.head_names == ("frogs", "rooms")
    assert merged.info.label_spaces == (FROGS, ROOMS)
    for form in (lambda network: network, lambda network: network.for_inference()):
        logits = form(merged).logits_by_head(wave(encoder))
        for name, part in parts:
            assert torch.equal(logits[name], form(part).logits_by_head(wave(encoder))["main"])
    assert parts[0][1].info.head_names == ("main",)


@torch.no_grad()
def test_a_published_tagger_keeps_its_head_beside_the_others():
    tagger = mn()
    frogs = detectors(tagger)[0]
    merged = merge_detectors([frogs, ("tagger", tagger)])
    assert merged.info.head_names == ("main", "frogs")
    logits = merged.logits_by_head(wave(tagger))
    torch.testing.assert_close(logits["main"], tagger.logits(wave(tagger)), atol=1e-5, rtol=1e-4)
    assert torch.equal(logits["frogs"], frogs[1].logits(wave(tagger)))
    with pytest.raises(AuricleError, match="which has one"):
        merge_detectors([("a", tagger), ("b", tagger)])
    with pytest.raises(AuricleError, match="keeps the name 'main'"):
        merge_detectors([frogs, ("tagger", tagger)], ["frogs", "sounds"])
    on_tokens = m2d(pools="tokens")
    with pytest.raises(AuricleError, match="changes the clip embedding"):
        merge_detectors([detectors(on_tokens)[0], ("on-tokens", on_tokens)])


def test_names_are_made_unique_and_fit_heads():
    encoder = logmel_stats()
    (_, frogs), (_, rooms) = detectors(encoder)
    merged = merge_detectors([("v1.2", frogs), ("v1.2", rooms), ("keys", rooms)])
    assert merged.info.head_names == ("v1-2", "v1-2-2", "keys-head")
    again = merge_detectors([("all", merged), ("more", frogs)])
    assert again.info.head_names == ("v1-2", "v1-2-2", "keys-head", "more")
    named = merge_detectors([("all", merged), ("more", frogs)], ["a", "b", "c", "d"])
    assert named.info.label_spaces == (FROGS, ROOMS, ROOMS, FROGS)
    for names, message in (
        (["a"], "1 names for 2 heads"),
        (["a", "a"], "names two heads"),
        (["a", "b.c"], "cannot be"),
    ):
        with pytest.raises(AuricleError, match=message):
            merge_detectors([("frogs", frogs), ("rooms", rooms)], names)


def test_other_backbones_are_refused_with_what_differs():
    encoder = m2d()
    frogs = detectors(encoder)[0]
    trained = copy.deepcopy(encoder)
    with torch.no_grad():
        next(trained.transformer.parameters()).add_(0.1)
    others = {
        "families are m2d and mn": mn(),
        "front ends are": encoder.with_front_end("decibel-mel/16k"),
        "architectures differ in depth": m2d(depth=3),
        "statistics of the input": encoder.with_stats(-1.0, 2.0),
        "1 of their .* weight tensors differ, such as transformer": trained,
    }
    for message, other in others.items():
        with pytest.raises(AuricleError, match=message):
            merge_detectors([frogs, ("rooms", detectors(other)[1][1])])
    with pytest.raises(AuricleError, match="bare has no head"):
        merge_detectors([frogs, ("bare", encoder)])
    with pytest.raises(AuricleError, match="two detectors or more"):
        merge_detectors([frogs])
