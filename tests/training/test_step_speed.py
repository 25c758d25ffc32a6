"""What makes the step fast changes no number: explicit attention, the allocator, bf16 beside float32 masters."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from auricle.core.devices import tune_allocator
from auricle.methods.base import TrainProgress
from auricle.methods.m2d.config import M2DConfig
from auricle.methods.m2d.objective import M2D
from auricle.models.layers.transformer import attend
from auricle.models.m2d.config import PredictorConfig, ViTConfig
from auricle.models.masking.patches import unstructured
from auricle.training.optimizers import make_optimizer

FAULTS = """
import resource, sys, torch
from auricle.core.devices import tune_allocator
if sys.argv[1] == "keep":
    assert tune_allocator()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(64 << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
[faults() for _ in range(20)]  # the allocator settles
print(faults())
"""


def heads(kind: torch.dtype) -> list[torch.Tensor]:
    """q, k, v (2, 3, 37, 8) laid out as the fused projection gives them."""
    torch.manual_seed(0)
    packed = torch.randn(2, 37, 3, 3, 8).bfloat16().to(kind).requires_grad_()
    return [packed, *packed.permute(2, 0, 3, 1, 4).unbind(0)]


@pytest.mark.parametrize("masked", [False, True])
def test_explicit_attention_in_bf16_agrees_with_the_fused_one_in_float32(masked):
    mask = torch.arange(37)[None] < torch.tensor([[37], [20]]) if masked else None
    found = []
    for kind in (torch.bfloat16, torch.float32):
        packed, q, k, v = heads(kind)
        out = attend(q, k, v, mask)
        out.square().sum().backward()
        found.append((out.detach().float(), packed.grad.float()))
    (out, grad), (want, want_grad) = found
    torch.testing.assert_close(out, want, atol=2e-2, rtol=0)
    torch.testing.assert_close(grad, want_grad, atol=2e-2 * want_grad.abs().max().item(), rtol=0)


def test_keys_that_are_masked_have_no_influence_in_either_form():
    mask = torch.arange(37)[None].expand(2, -1) < 20
    for kind in (torch.bfloat16, torch.float32):
        _, q, k, v = heads(kind)
        changed = [torch.where(mask[:, None, :, None], x, x.detach() + 5) for x in (k, v)]
        assert torch.equal(attend(q, k, v, mask), attend(q, *changed, mask))


def small(seed: int = 0) -> tuple[M2D, torch.optim.Optimizer]:
    objective = M2D(
        ViTConfig("80x64", embed_dim=32, depth=2, num_heads=2), PredictorConfig(32, 1, 2), M2DConfig(), seed=seed
    )
    return objective, make_optimizer(objective.param_groups(0.05), "adamw", 1e-3)


def bf16_steps(objective: M2D, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for number in range(steps):
        generator = torch.Generator().manual_seed(number)
        patches = objective.online.patch_embed.cut(torch.randn(4, 80, 64, generator=generator))
        mask = unstructured(torch.rand(4, 20, generator=generator), 0.7)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            prediction, target = objective.predict(patches, mask)
            loss = objective.error(target, prediction).mean()
        loss.backward()
        optimizer.step()
        objective.after_step(TrainProgress(number, steps, number, steps, 0.0, 1))
    assert loss.dtype == torch.float32


def test_weights_gradients_optimiser_state_and_teacher_stay_float32_under_bf16():
    objective, optimizer = small()
    bf16_steps(objective, optimizer)
    kept = [*objective.parameters(), *(p.grad for p in objective.parameters() if p.grad is not None)]
    kept += [value for state in optimizer.state.values() for value in state.values()]
    assert {tensor.dtype for tensor in kept} == {torch.float32}


def test_the_target_encoder_leaves_nothing_for_the_backward_pass():
    objective, _ = small()
    patches = objective.online.patch_embed.cut(torch.randn(2, 80, 64))
    target = objective.raw_targets(patches, unstructured(torch.rand(2, 20), 0.7))
    assert not target.requires_grad
    assert all(p.grad is None and not p.requires_grad for p in objective.target.parameters())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the switch is the GNU C library's")
def test_freed_memory_is_kept_for_the_next_step():
    def faults(what: str) -> int:
        return int(subprocess.run([sys.executable, "-c", FAULTS, what], capture_output=True, check=True).stdout)

    returned = faults(
        "return"
    )  # 64 MiB are 16 384 small pages; where the system gives large ones, a few hundred or fewer
    assert faults("keep") <= returned / 2


def test_the_allocator_changes_no_number():
    before, after = small(), small()
    bf16_steps(*before)
    tune_allocator()
    bf16_steps(*after)
    for name, value in before[0].state_dict().items():
        assert torch.equal(value, after[0].state_dict()[name]), name
