"""The second targets of the M2D family: which input the teacher hears, time steps of other lengths, partial labels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.methods.base import TrainProgress
from auricle.methods.m2d.config import M2DASConfig, M2DConfig, M2DSConfig, M2DXConfig
from auricle.methods.m2d.objective import M2D
from auricle.methods.m2d.targets import Columns
from auricle.methods.m2d.variants import M2DAS, M2DS, M2DX
from auricle.models.m2d.config import ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from helpers.encoders import mn
from helpers.objectives import CLASSES, FEATURES, MODEL, PREDICTOR, SPEECH, STATS, labelled, spectrograms, with_features

CLIPS = 3
START = TrainProgress(0, 10, 0, 10, 0.0, 1)


def noisy(clips: int = CLIPS):
    """The student's input is another sound than ``clean``."""
    batch = spectrograms(clips)
    return replace(batch, spec=batch.spec.flip(1), clean=batch.spec)


def m2d_x(teacher=None, **changes) -> M2DX:
    teacher = teacher or M2DEncoder(MODEL, seed=5)
    return M2DX(MODEL, PREDICTOR, M2DXConfig(**changes), teacher, stats=STATS, seed=1)


def losses(objective, batch):
    return objective(batch, START, BatchKey(0, 0, batch.positions))[1]


def teacher_input(objective, batch, monkeypatch):
    """The spectrogram that the teacher is given."""
    inputs = []
    real = objective.teacher._encode_spectrogram
    monkeypatch.setattr(objective.teacher, "_encode_spectrogram", lambda b: inputs.append(b.spec) or real(b))
    losses(objective, batch)
    return inputs[0]


def test_by_default_the_student_gets_the_noise_and_the_teacher_does_not(monkeypatch):
    objective, batch = m2d_x(), noisy()
    assert torch.equal(teacher_input(objective, batch, monkeypatch), batch.clean)
    assert torch.equal(objective.spec(batch), objective.online.normalise(batch.spec))


def test_as_published_the_teacher_gets_the_noise_and_the_student_does_not(monkeypatch):
    objective, batch = m2d_x(noise_on="teacher"), noisy()
    assert torch.equal(teacher_input(objective, batch, monkeypatch), batch.spec)
    assert torch.equal(objective.spec(batch), objective.online.normalise(batch.clean))


def test_as_published_noise_does_not_change_plain_m2d():
    batch = noisy()
    for where, same in (("teacher", True), ("student", False)):
        objective = M2D(MODEL, PREDICTOR, M2DConfig(noise_on=where), stats=STATS)
        clean = losses(objective, spectrograms(CLIPS))["loss"]
        assert torch.equal(losses(objective, batch)["loss"], clean) == same


def test_the_teacher_uses_the_statistics_of_the_student_not_its_own():
    batch = spectrograms(CLIPS)
    found = [losses(m2d_x(M2DEncoder(MODEL, stats=s, seed=5)), batch)["loss_off"] for s in ((0.0, 1.0), (-7.1, 4.2))]
    assert found[0] == found[1]


def test_the_teacher_is_in_no_state_and_gets_no_gradient_and_no_training_mode():
    objective = m2d_x()
    objective.train()
    loss = objective(spectrograms(CLIPS), START, BatchKey(0, 0, (0, 1, 2)))[0]
    loss.backward()
    assert not any(name.startswith("teacher") for name in objective.state_dict())
    assert not objective.teacher.encoder.training
    assert all(p.grad is None and not p.requires_grad for p in objective.teacher.encoder.parameters())


def test_the_teacher_moves_to_other_devices_and_types_with_the_objective():
    objective = m2d_x().double()
    assert {p.dtype for p in objective.teacher.encoder.parameters()} == {torch.float64}


def test_a_teacher_with_longer_patches_is_brought_to_the_steps_of_the_student():
    longer = M2DEncoder(ViTConfig("80x64", "16x32", embed_dim=32, depth=1, num_heads=2), seed=5)
    objective, batch = m2d_x(longer), spectrograms(CLIPS)
    features, times = objective.teacher(batch)
    stretched = objective.columns.from_frames(features, times, objective.teacher.hop_seconds)
    assert stretched.shape == (CLIPS, 4, 160)
    torch.testing.assert_close(stretched[:, ::2], features, atol=1e-5, rtol=0)


def test_a_teacher_of_another_front_end_needs_audio():
    with pytest.raises(AuricleError, match=r"takes .*folder of audio"):
        losses(m2d_x(mn()), spectrograms(CLIPS))


# ------------------------------------------------------------------------------------------------- time steps of other lengths
COLUMNS = Columns(4, 0.04, 0.015)


def test_equal_steps_pass_untouched():
    features = torch.randn(2, 4, 3)
    assert COLUMNS.from_stored(features, 0.04) is features
    assert COLUMNS.from_stored(features, None) is features
    assert COLUMNS.from_frames(features, 0.015 + 0.04 * torch.arange(4), 0.04) is features


def test_steps_half_as_long_are_averaged_in_pairs():
    features = torch.randn(2, 8, 3)
    pairs = features.unflatten(1, (4, 2)).mean(dim=2)
    torch.testing.assert_close(COLUMNS.from_stored(features, 0.02), pairs)


def test_longer_steps_are_repeated_and_those_across_a_border_shared():
    features = torch.tensor([[[0.0], [1.0]]])
    assert COLUMNS.from_stored(features, 0.08).flatten().tolist() == [0, 0, 1, 1]
    thirds = COLUMNS.from_stored(torch.tensor([[[0.0], [3.0], [6.0]]]), 0.16 / 3).flatten()
    torch.testing.assert_close(thirds, torch.tensor([0.0, 2.0, 4.0, 6.0]))


def test_a_step_that_the_teacher_does_not_reach_takes_the_nearest():
    assert COLUMNS.from_stored(torch.tensor([[[1.0], [2.0], [3.0]]]), 0.04).flatten().tolist() == [1, 2, 3, 3]


def test_features_of_another_length_of_sound_are_refused():
    with pytest.raises(AuricleError, match="do not cover the same time"):
        COLUMNS.from_stored(torch.randn(1, 10, 3), 0.04)


# ------------------------------------------------------------------------------------------------------ stored features
def m2d_s(**changes) -> M2DS:
    return M2DS(SPEECH, PREDICTOR, M2DSConfig(**changes), FEATURES, stats=STATS, seed=1)


def test_stored_features_of_another_width_are_refused():
    batch = replace(with_features(CLIPS), targets={"frames": torch.randn(CLIPS, 32, FEATURES + 1)})
    with pytest.raises(AuricleError, match=r"expected stored features \(B, T', 12\)"):
        losses(m2d_s(), batch)


def test_clips_without_stored_features_do_not_count():
    batch = with_features(CLIPS)
    spoilt = replace(batch, targets={"frames": batch.targets["frames"].clone()}, target_mask=torch.tensor([1, 1, 0]))
    spoilt.targets["frames"][2] = 100 * torch.randn(32, FEATURES)
    other = replace(spoilt, targets=batch.targets)
    assert losses(m2d_s(), spoilt)["loss_off"] == losses(m2d_s(), other)["loss_off"]
    assert losses(m2d_s(), spoilt)["loss_off"] != losses(m2d_s(), batch)["loss_off"]


def test_a_validation_list_without_features_leaves_the_second_loss_at_nothing():
    assert losses(m2d_s(), spectrograms(CLIPS))["loss_off"] == 0


def test_stored_features_cannot_replace_a_teacher_that_gets_the_mixture():
    with pytest.raises(AuricleError, match="computed on clean sound"):
        m2d_s(noise_on="teacher")


def test_the_heads_start_as_published():
    speech, other = m2d_s().offline_predictor, m2d_x().offline_predictor
    bound = 32**-0.5
    assert 0 < speech.bias.abs().max() <= bound
    assert 0.9 * bound < speech.weight.abs().max() <= bound
    assert other.bias.abs().max() == 0
    assert other.weight.abs().max() > 160**-0.5


# --------------------------------------------------------------------------------------------------------------- labels
def m2d_as() -> M2DAS:
    return M2DAS(MODEL, PREDICTOR, M2DASConfig(), CLASSES, stats=STATS, seed=1)


def test_labels_that_nobody_annotated_mean_nothing():
    batch = labelled(CLIPS)
    guessed = replace(batch, labels=torch.where(batch.label_mask > 0, batch.labels, 1 - batch.labels))
    assert losses(m2d_as(), batch)["loss_off"] == losses(m2d_as(), guessed)["loss_off"]


def test_all_annotated_is_the_plain_mean():
    batch = labelled(CLIPS)
    everything = losses(m2d_as(), replace(batch, label_mask=torch.ones(CLIPS, CLASSES)))["loss_off"]
    torch.testing.assert_close(everything, losses(m2d_as(), replace(batch, label_mask=None))["loss_off"])


def test_data_without_these_labels_are_refused():
    with pytest.raises(AuricleError, match="labels of 5 classes, the data have none"):
        losses(m2d_as(), spectrograms(CLIPS))
    with pytest.raises(AuricleError, match="labels of 5 classes, the data have 2"):
        losses(m2d_as(), replace(spectrograms(CLIPS), labels=torch.zeros(CLIPS, 2)))
