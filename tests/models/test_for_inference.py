"""``Encoder.for_inference``: the same results, made once, never out of date."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch

from helpers.encoders import FAMILIES, dymn, logmel_stats, m2d, mae_ast, mn, two_m2d

TRAINABLE = {"m2d": lambda: m2d(pools="tokens"), "mae-ast": mae_ast, "mn": mn, "dymn": dymn, "ensemble": two_m2d}


@pytest.fixture(params=TRAINABLE)
def encoder(request):
    return TRAINABLE[request.param]()


def wave(encoder, clips: int = 2) -> torch.Tensor:
    return 0.1 * torch.randn(clips, encoder.info.sample_rate, generator=torch.Generator().manual_seed(0))


def agrees(encoder) -> bool:
    """Whether the form for inference answers as the encoder itself does in evaluation mode."""
    ready, plain, audio = encoder.for_inference(), copy.deepcopy(encoder).eval(), wave(encoder)
    with torch.no_grad():
        return torch.allclose(ready(audio).clip, plain(audio).clip, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_results_are_those_of_the_encoder(family):
    encoder = FAMILIES[family].make()
    audio, lengths = wave(encoder), torch.tensor([encoder.info.sample_rate, 9000])
    layers = "all" if encoder.info.depth else None
    ready = encoder.for_inference()
    expected, out = encoder(audio, lengths, layers=layers), ready(audio, lengths, layers=layers)
    for name in ("frames", "clip", "logits", "frame_logits", "tokens"):
        torch.testing.assert_close(getattr(out, name), getattr(expected, name), atol=1e-5, rtol=1e-4)
    for one, other in zip(out.layers, expected.layers, strict=True):
        torch.testing.assert_close(one.frames, other.frames, atol=1e-5, rtol=1e-4)
    assert ready.fingerprint() == encoder.fingerprint()
    assert ready.info == encoder.info


def test_it_is_made_once_and_in_evaluation_mode(encoder):
    encoder.train()
    ready = encoder.for_inference()
    assert encoder.for_inference() is ready
    assert ready.for_inference() is ready
    assert not any(module.training for module in ready.modules())
    assert all(module.training for module in encoder.modules())
    encoder.train()
    assert not any(module.training for module in ready.modules())


def test_an_optimizer_step_is_seen(encoder):
    before, audio = encoder.for_inference(), wave(encoder)
    answer = before(audio).clip
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-4)
    encoder.train()
    encoder(audio).clip.square().mean().backward()
    optimizer.step()
    assert encoder.for_inference() is not before
    assert not torch.allclose(encoder.for_inference()(audio).clip, answer, atol=1e-5, rtol=1e-4)
    assert agrees(encoder)


def test_other_weights_are_seen(encoder):
    encoder.for_inference()
    encoder.load_state_dict({name: 0.5 * value for name, value in encoder.state_dict().items()})
    assert agrees(encoder)
    encoder.load_state_dict({name: value.clone() for name, value in encoder.state_dict().items()}, assign=True)
    assert agrees(encoder)


def test_another_precision_is_seen_and_the_same_device_changes_nothing(encoder):
    ready = encoder.for_inference()
    assert encoder.to("cpu").for_inference() is ready
    assert encoder.to(torch.float16).float().for_inference() is not ready
    assert agrees(encoder)


def test_another_description_is_seen(encoder):
    encoder.for_inference()
    encoder.update_info(name="another")
    assert encoder.for_inference().info.name == "another"


def test_another_kernel_temperature_is_seen():
    encoder = dymn()
    encoder.for_inference()
    encoder.set_temperature(7.0)
    assert encoder.for_inference().temperature == 7.0
    assert agrees(encoder)


def test_other_statistics_and_copies_have_forms_of_their_own(encoder):
    ready = encoder.for_inference()
    assert encoder.with_stats(1.0, 2.0).for_inference() is not ready
    for twin in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert twin.for_inference() is not ready
        assert agrees(twin)


def test_a_network_without_weights_has_one_too():
    encoder = logmel_stats()
    assert encoder.for_inference() is encoder.for_inference()


def test_threads_share_one_copy_for_inference():
    encoder, made = mn(), []
    threads = [threading.Thread(target=lambda: made.append(encoder.for_inference())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, made))) == 1


@torch.inference_mode()
def test_threads_share_the_graphs():
    encoder = mn()
    ready, audio = encoder.for_inference(), wave(encoder)
    expected, answers = encoder.logits(audio), []

    @torch.inference_mode()
    def ask() -> None:
        answers.extend(ready.logits(audio) for _ in range(12))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 48
    for answer in answers:
        torch.testing.assert_close(answer, expected, atol=1e-5, rtol=1e-4)
