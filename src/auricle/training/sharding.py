"""Training with parameters that are spread over the processes (PyTorch's FSDP2, ``fully_shard``), for networks that do not fit.

Each process holds an equal share of every parameter, of its gradient and of the optimiser's state, as a ``DTensor``. The
parameters of one block at a time are gathered for its forward and backward pass; gradients are averaged over the processes
in float32 and cut into shares at once, in every micro-step. What is no block (embeddings, norms, heads) is one more group.

Everything else deals with whole tensors: ``gathered`` joins shares, ``restore_shares`` cuts whole tensors into shares, so that
checkpoints and weight files are those of any other run.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from auricle.core.errors import AuricleError
from auricle.methods.base import Objective
from auricle.models.base import Encoder
from auricle.models.layers.transformer import stacks_of
from auricle.training.distributed import synchronise

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
LOW_PRECISION = {"bf16": torch.bfloat16, "fp16": torch.float16}
HEAD = "head"  # the group of ``Encoder.layer_groups`` that is used in other ways than by its ``forward``
FORWARD_METHODS = ("diagnose",)  # that processes call together beside ``forward``


def check_shardable(objective: Objective) -> None:
    """Raise AuricleError for an objective whose parameters cannot be spread over processes."""
    if objective.unfreezes:
        raise AuricleError(
            "--parallel fsdp cannot unfreeze layers on the way: leave --unfreeze-epochs out, or use --parallel ddp"
        )
    if numbers := [name for name, parameter in objective.named_parameters() if parameter.ndim == 0]:
        raise AuricleError(
            f"--parallel fsdp cannot spread a parameter of a single number ({', '.join(numbers)}): choose another --head, or "
            "use --parallel ddp"
        )


def shard(objective: Objective, precision: str, device: torch.device) -> torch.Generator:
    """Spread the parameters of an objective over all processes, in place. All processes hold the same values before.

    In bf16 and fp16 the parts of a block that multiply matrices are gathered in that precision, as autocast would convert
    them; norms and what is no block stay float32. (Autocast would keep its own converted copy of all weights until the
    backward pass, on every process.)

    Args:
        objective: what is trained; its batch norms become ones over all processes.
        precision: "float32", "bf16" or "fp16".
        device: of this process.

    Returns:
        What the blocks to skip are drawn with (layerdrop), to be seeded alike on all processes: a block is gathered on all of
        them or on none.
    """
    warnings.filterwarnings(
        "ignore", message="FSDP2-wrapped module"
    )  # of in-place sums after a block, which are nowhere here
    synchronise(objective)
    objective.to(device)
    for parameter in objective.parameters():
        parameter.data = parameter.data.contiguous()
    world = distributed.get_world_size()
    shares: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (world,)),
        "shard_placement_fn": partial(placement, world),
    }
    low = LOW_PRECISION.get(precision)
    for block in blocks_of(objective):
        parts = matrix_parts(block) if low else []
        if parts:
            fully_shard(parts, mp_policy=MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32), **shares)
        else:
            fully_shard(block, **shares)
    fully_shard(objective, **shares, reshard_after_forward=True)  # shares alone are left between two steps
    for name in FORWARD_METHODS:
        register_fsdp_forward_method(objective, name)
    for module in objective.encoder().modules():
        if isinstance(module, Encoder):  # also each of an ensemble
            module.one_pass = True  # blocks are gathered as often on all processes
    generator = torch.Generator()
    for stack in stacks_of(objective):
        stack.layerdrop_generator = generator
    return generator


@contextmanager
def unsharded(objective: Objective) -> Iterator[None]:
    """A context in which every process holds all parameters, and may run the network as often as it likes."""
    objective._get_fsdp_state()._lazy_init()  # type: ignore[operator]  # else the first pass of a run decides which module is the root
    units = [module for module in objective.modules() if isinstance(module, FSDPModule)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(True, recurse=False)
            unit.reshard()


def placement(world: int, parameter: Tensor) -> Shard:
    """Return the axis that is cut into shares: the first one, or another one where that is too short and the other divides."""
    axes = [axis for axis, size in enumerate(parameter.shape) if size % world == 0]
    return Shard(axes[0] if axes and len(parameter) < world else 0)


def blocks_of(objective: Objective) -> list[nn.Module]:
    """Return the modules whose parameters are gathered together: the encoder's blocks, and those of other transformers."""
    encoder = objective.encoder()
    blocks = [*blocks_of_encoder(encoder), *(block for stack in stacks_of(objective) for block in stack.blocks)]
    return list({id(block): block for block in blocks}.values())


def blocks_of_encoder(encoder: Encoder) -> Iterator[nn.Module]:
    """Yield the modules that are one layer group each: not the head, no loose parts, no single layer."""
    for group in encoder.layer_groups():
        paths = [name.split(".")[:-1] for name in group.parameter_names]
        path = ".".join(steps[0] for steps in takewhile(lambda steps: len(set(steps)) == 1, zip(*paths)))
        block = encoder.get_submodule(path)
        is_whole = {*map(id, block.parameters())} == {*map(id, group.parameters)}
        called = any(block.children()) and not isinstance(block, (nn.ModuleList, nn.ModuleDict))
        if group.name.rpartition(".")[2] != HEAD and is_whole and called:
            yield block


def matrix_parts(block: nn.Module) -> list[nn.Module]:
    """Return the parts of a block beside its norms, such as attention and MLP; [] if one of them holds a norm inside."""
    parts = [part for part in block.children() if [*part.parameters()] and not isinstance(part, NORMS)]
    mixed = any(isinstance(inner, NORMS) for part in parts for inner in part.modules())
    return [] if mixed else parts


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor as a whole; shares are joined, in which all processes take part."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Join the shares of tensors, one after the other; all processes call this with the same names.

    Args:
        tensors: by name; those that are no shares are taken as they are.
        keep: True on the process that wants them.

    Returns:
        The whole tensors on the CPU; {} where they are not kept.
    """
    result = {}
    for name, value in tensors.items():
        joined = whole(value.detach())
        if keep:
            result[name] = joined.cpu()
    return result


def restore_shares(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load whole tensors, which every process holds, into a module whose parameters may be spread."""
    own = module.state_dict()
    module.load_state_dict({name: share_of(value, own.get(name)) for name, value in tensors.items()})


def share_of(value: Tensor, like: Tensor | None) -> Tensor:
    """Return this process's share of a whole tensor as ``like`` is spread; the tensor itself where ``like`` is whole."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
