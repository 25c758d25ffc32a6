"""Heads on stored features: exact solutions, and the same logits behind the living encoder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.detectors import frozen_heads
from auricle.detectors.features import LabelledFeatures
from auricle.detectors.frozen_heads import FrozenHead, fit_head, logits_of
from auricle.evaluation.probes.base import Features
from auricle.evaluation.probes.logistic import ABSENT_LOGIT, Logistic, logistic_weights
from auricle.evaluation.splits import NO_ROWS, Split
from auricle.evaluation.targets import ClassTargets
from helpers.encoders import FAMILIES
from helpers.frozen_features import drawn_features

ALL = [
    FrozenHead("linear"),
    FrozenHead("prototype"),
    FrozenHead("gated-layers"),
    FrozenHead("gated-layers", scores="linear"),
    FrozenHead("gated-layers", layers=(1,)),
    FrozenHead("attentive"),
    FrozenHead("attentive", per_class=True),
]


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Clouds that are apart need no 300 steps, and a head that is hardly fitted has logits too."""
    monkeypatch.setattr(frozen_heads, "ATTENTIVE_STEPS", 30)


@pytest.mark.parametrize("choice", ALL, ids=str)
@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_every_head_learns_clouds_that_are_apart(choice, kind):
    features = drawn_features()
    head = fit_head(choice, features, kind)
    right = logits_of(head, features).argmax(1) == features.targets.argmax(1)
    assert right.mean() > 0.9


def test_the_weights_of_the_linear_head_give_the_probe_s_probabilities():
    features = drawn_features(classes=4)
    targets = ClassTargets(("a", "b", "c", "d"), features.targets)
    rows = np.arange(len(features))
    expected = Logistic(0.1).fit_predict(Features(features.clip), targets, Split("all", rows, NO_ROWS, rows), None)
    weights, biases = logistic_weights(features.clip, features.targets, features.known, 0.1, multilabel=False)
    got = torch.from_numpy(features.clip @ weights.T + biases).softmax(1).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_two_classes_and_absent_classes_have_weights_too():
    features = drawn_features(classes=2)
    targets = np.pad(features.targets, [(0, 0), (0, 1)])
    weights, biases = logistic_weights(features.clip, targets, np.ones_like(targets), 1.0, multilabel=False)
    assert ((features.clip @ weights.T + biases).argmax(1) == targets.argmax(1)).mean() > 0.9
    assert biases[2] == ABSENT_LOGIT
    assert not weights[2].any()


def test_a_class_is_learnt_from_the_clips_in_which_it_was_annotated():
    features = drawn_features(classes=2)
    known = np.ones_like(features.targets)
    known[1::2, 0] = 0  # the second class's clips say nothing about the first class
    _, biases = logistic_weights(features.clip, features.targets, known, 1.0, multilabel=True)
    assert biases[0] == pytest.approx(np.log(30.5 / 0.5))  # 30 of 30 annotated clips have it


def test_more_features_than_clips_give_the_same_solution_as_their_span():
    wide = drawn_features(n=12, dims=(40,))
    weights, biases = logistic_weights(wide.clip, wide.targets, wide.known, 1.0, multilabel=False)
    targets = ClassTargets(("a", "b", "c"), wide.targets)
    rows = np.arange(12)
    expected = Logistic(1.0).fit_predict(Features(wide.clip), targets, Split("all", rows, NO_ROWS, rows), None)
    np.testing.assert_allclose(torch.from_numpy(wide.clip @ weights.T + biases).softmax(1), expected, atol=1e-4)


@pytest.mark.parametrize("choice", ALL[:4] + ALL[5:6], ids=str)
@pytest.mark.parametrize("family", ["mn", "m2d"])
def test_a_head_gives_behind_the_encoder_what_it_gives_on_stored_features(family, choice):
    encoder = FAMILIES[family].make().eval().without_head()
    waves = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, (8, 16000)).astype(np.float32))
    with torch.no_grad():
        out = encoder(waves, layers="all")
    layers = tuple(layer.frames.mean(1).numpy() for layer in out.layers)
    frames = tuple(frame.numpy().astype(np.float16) for frame in out.frames)
    targets = np.eye(2, dtype=np.float32)[np.arange(8) % 2]
    ids = tuple(map(str, range(8)))
    features = LabelledFeatures(ids, ids, np.ones(8), out.clip.numpy(), layers, targets, np.ones_like(targets), frames)
    head = fit_head(choice, features, "multiclass")
    with torch.no_grad():
        living = encoder.with_head(head).eval()(waves).logits
    half = 0.02 if choice.kind == "attentive" else 0.0  # its frames are held in half precision
    np.testing.assert_allclose(living.numpy(), logits_of(head, features), atol=1e-3 + half, rtol=half)


def test_a_head_that_these_features_cannot_feed_is_refused():
    with pytest.raises(AuricleError, match="has none|have none"):
        fit_head(FrozenHead("attentive"), replace(drawn_features(), frames=None), "multiclass")
    with pytest.raises(AuricleError, match="this encoder has none"):
        fit_head(FrozenHead("gated-layers"), replace(drawn_features(), layers=()), "multiclass")
