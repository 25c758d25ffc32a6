"""Several heads as one: each class has the probability that its own head gives it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import auricle
from auricle.commands.finetune.finetune import distill
from auricle.core.errors import AuricleError
from auricle.evaluation.suites.models import ModelToMeasure
from auricle.hub.weight_file import save_encoder
from auricle.models.heads.joined import chosen_heads, joined_space, with_all_heads, with_one_head
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from auricle.models.merge import merge_detectors
from helpers.encoders import m2d
from helpers.finetune_runs import labelled_sounds, weight_file

FROGS = LabelSpace("multilabel", ("frog", "noise")).calibrated((2.0, 0.5), (0.1, -1.0), fitted_on="pond")
ROOMS = LabelSpace("multiclass", ("hall", "street", "noise"), background=("noise",)).calibrated(
    (3.0,) * 3, (0.0,) * 3, fitted_on="city"
)


@pytest.fixture(scope="module")
def merged():
    encoder = m2d()
    kinds = {
        "frogs": ("prototype", FROGS),
        "rooms": ("gated-layers", ROOMS),
        "plain": ("attentive", FROGS.uncalibrated()),
    }
    torch.manual_seed(0)
    parts = []
    for name, (kind, space) in kinds.items():
        head = make_head(kind, encoder, len(space), seed=3)
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        parts.append((name, encoder.with_head(head, space)))
    return merge_detectors(parts)


def test_every_class_has_the_probability_of_its_own_head(merged):
    joined, wave = with_all_heads(merged), torch.randn(3, merged.info.sample_rate)
    assert joined.info.label_space.ids == (
        "frogs: frog", "frogs: noise", "hall", "street", "rooms: noise", "plain: frog", "plain: noise"
    )  # fmt: skip
    assert joined.info.label_space.background == ("rooms: noise",)
    with torch.no_grad():
        given = joined.info.label_space.probabilities(joined.eval()(wave).logits)
        logits = merged.eval()(wave).head_logits
    spaces = dict(zip(merged.info.head_names, merged.info.label_spaces))
    expected = torch.cat([spaces[name].probabilities(logits[name]) for name in spaces], -1)
    assert torch.allclose(given, expected, atol=1e-6)


def test_one_head_alone_gives_its_own_logits(merged):
    wave = torch.randn(2, merged.info.sample_rate)
    with torch.no_grad():
        alone, every = with_one_head(merged, "rooms").eval()(wave), merged.eval()(wave)
    assert torch.allclose(alone.logits, every.head_logits["rooms"], atol=1e-6)
    assert with_one_head(merged, "rooms").info.label_space == ROOMS
    with pytest.raises(AuricleError, match=r"no head 'room', did you mean 'rooms'|no head 'room'"):
        chosen_heads(merged, "room")
    single = with_one_head(merged, "frogs")
    assert with_all_heads(single) is single


def test_thresholds_of_the_parts_are_kept():
    spaces = [FROGS.with_thresholds((0.3, 0.6), fitted_on="pond"), ROOMS]
    space = joined_space(["a", "b"], spaces)
    assert space.thresholds == (0.3, 0.6, 0.5, 0.5, 0.5)
    assert space.thresholds_fitted_on == "pond"
    assert joined_space(["a", "b"], [FROGS, ROOMS]).thresholds == ()


def test_suggest_asks_about_the_classes_of_all_heads_or_of_one(merged, tmp_path):
    sounds = labelled_sounds(tmp_path / "sounds", 3, 0.5)
    every = auricle.suggest(sounds, merged, top_k=6, random_ratio=0.0)
    assert {clip.label for clip in every.clips} <= {
        "frogs: frog",
        "frogs: noise",
        "hall",
        "street",
        "plain: frog",
        "plain: noise",
    }
    rooms = auricle.suggest(sounds, merged, top_k=6, random_ratio=0.0, head="rooms")
    assert {clip.label for clip in rooms.clips} <= {"hall", "street"}


def test_a_student_learns_the_classes_of_all_heads_or_of_one(merged, tmp_path):
    sounds, student = labelled_sounds(tmp_path / "sounds", 3, 0.3), weight_file(tmp_path)
    save_encoder(merged, tmp_path / "teacher.safetensors")
    small = {"epochs": 1, "warmup_epochs": 0, "workers": 0, "device": "cpu", "quiet": True, "use_labels": False}
    for head, count in (((), 7), (("rooms",), 3)):
        out = tmp_path / f"student{count}"
        distill(sounds, teacher=tmp_path / "teacher.safetensors", model=student, out=out, teacher_head=head, **small)
        assert len(auricle.load(out).info.label_space) == count
    with pytest.raises(AuricleError, match="2 names for 1 teachers"):
        distill(sounds, teacher=tmp_path / "teacher.safetensors", model=student, teacher_head=("a", "b"), **small)


def test_one_head_is_measured_under_a_name_of_its_own(merged, tmp_path):
    save_encoder(merged, tmp_path / "all.safetensors")
    model = ModelToMeasure(str(tmp_path / "all.safetensors"), head="rooms").load()
    assert model.info.name.endswith("all.safetensors head rooms")
    assert np.array_equal(model.info.label_space.ids, ROOMS.ids)
