"""EfficientAT's log-mel in evaluation and in training."""

import numpy as np
import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.frontends.base import front_end
from auricle.frontends.efficientat_mel import DEFAULT_ID, EfficientATMel
from auricle.frontends.framing import kaldi_bank
from auricle.frontends.spec_augment import FILL, MelAugment, mask_spans, masked, moved_edges, training_mel
from helpers.efficientat_golden import golden
from helpers.golden_files import close
from helpers.paths import SHARED
from helpers.replays import TorchReplay
from tolerances import TOLERANCES

NAMES = {"hopsize": "hop_length", "sr": "sample_rate"}  # of the original; the others are the same
MEL = "mel" if (SHARED / "golden").is_dir() else "mel_few"


def front_of(settings: dict) -> EfficientATMel:
    """The front end of a golden entry; without fmax it is half the rate minus half the range."""
    rate, spread = settings.get("sr", 32000), settings.get("fmax_aug_range", 2000)
    names = (*NAMES, "n_mels", "win_length", "n_fft", "fmin", "fmax")
    own = {NAMES.get(key, key): settings[key] for key in names if key in settings}
    return EfficientATMel(**{"fmax": rate // 2 - spread // 2, **own})


def entries(start: str) -> list[str]:
    """Names of the entries at hand when tests are collected."""
    tensors, _ = golden(MEL)
    return sorted(key for key in tensors if key.startswith(start))


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", entries("eval_"))
def test_evaluation_agrees_with_the_original(name):
    tensors, settings = golden(MEL)
    front = front_of(settings[name])
    close(front(tensors["waveform"]), tensors[name], TOLERANCES["EfficientAT mel"].atol)


@pytest.mark.parametrize("name", entries("melbank_"))
def test_the_mel_bank_agrees_with_the_original(name):
    bands, fft, rate, fmin, fmax = (int(part) for part in name.split("_")[1:])
    found = kaldi_bank(bands, fft, rate, fmin, fmax, torch.device("cpu"))
    close(found, golden(MEL)[0][name], TOLERANCES["mel bank"].atol)


@pytest.mark.parametrize("name", entries("train_"))
def test_training_agrees_with_the_original(name):
    tensors, settings = golden(MEL)
    said, replay = settings[name], TorchReplay(settings[name]["torch_seed"] or 0)
    augment = MelAugment(said.get("fmin_aug_range", 10), said.get("fmax_aug_range", 2000), 48, 192)
    front = moved_edges(front_of(said), augment, replay)
    if "drawn_fmin" in said:
        assert (front.fmin, front.fmax) == (said["drawn_fmin"], said["drawn_fmax"])
    values = front(tensors["waveform"])
    for axis, key, longest in ((1, "freq_masks", 48), (2, "time_masks", 192)):
        if key in said:
            uniform = np.stack([replay.random(2), replay.random(2)], axis=1)  # all u of the batch, then all v
            spans = mask_spans(uniform, longest, values.shape[axis])
            assert spans.tolist() == said[key]
            values = masked(values, spans, axis)
    close(values, tensors[name], TOLERANCES["EfficientAT mel"].atol)


def test_an_id_names_its_front_end_completely():
    front = EfficientATMel(n_mels=40, hop_length=480, fmin=50, fmax=14000)
    assert front_end(front.id) == front
    assert front_end(DEFAULT_ID) == EfficientATMel()
    assert front_end(DEFAULT_ID).id == "efficientat-mel/sr32000-m128-w800-h320-n1024-fmin0-fmax15000"


@pytest.mark.parametrize("id", ["efficientat-mel/", "efficientat-mel/sr32000", "efficientat-mel/" + "x" * 9])
def test_an_unreadable_id_is_refused(id):
    with pytest.raises(AuricleError, match="sr32000-m128"):
        front_end(id)


def test_a_clip_of_a_mixed_batch_comes_out_as_if_alone():
    front, wave, lengths = EfficientATMel(), noise(4, 9000), [9000, 514, 3201, 3200]
    mixed = front(wave, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        frames = front.num_frames(length)
        torch.testing.assert_close(mixed[row, :, :frames], front(wave[row : row + 1, :length])[0], atol=1e-6, rtol=0)
        assert not mixed[row, :, frames:].any()


@pytest.mark.parametrize("samples", [514, 960, 961, 32000])
def test_the_number_of_frames_is_as_promised(samples):
    front = EfficientATMel()
    assert front(noise(1, samples)).shape == (1, 128, front.num_frames(samples))


def test_a_wave_too_short_to_reflect_is_refused():
    front = EfficientATMel()
    assert torch.isfinite(front(noise(1, front.min_samples))).all()
    with pytest.raises(AuricleError, match="514"):
        front(noise(1, front.min_samples - 1))


def test_constants_made_in_inference_mode_serve_training():
    front = EfficientATMel(fmin=17, fmax=13579)
    with torch.inference_mode():
        front(noise(1, 4000))
    wave = noise(1, 4000).requires_grad_()
    front(wave).sum().backward()
    assert torch.isfinite(wave.grad).all()


def test_draws_are_keyed_by_clip_and_masks_fill_with_the_scaled_zero():
    wave, augment = noise(2, 32000), MelAugment(freq_mask=48, time_mask=60)
    key = BatchKey(seed=3, epoch=1, positions=(7, 8))
    values = training_mel(EfficientATMel(), wave, augment, key)
    assert torch.equal(values, training_mel(EfficientATMel(), wave, augment, key))
    assert not torch.equal(values, training_mel(EfficientATMel(), wave, augment, BatchKey(3, 2, (7, 8))))
    assert pytest.approx(0.9) == FILL
    plain = moved_edges(EfficientATMel(), augment, key.shared("mel-edges"))(wave)
    changed = values != plain
    assert changed.any()
    assert bool((values[changed] == FILL).all())


def test_augmentation_refuses_impossible_ranges():
    with pytest.raises(AuricleError, match="at least 1"):
        MelAugment(fmin_range=0)
