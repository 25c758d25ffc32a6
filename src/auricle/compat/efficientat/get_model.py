"""EfficientAT's function to build a network, for existing scripts.

Source: [efficientat 1](docs/specification/efficientat.md#s1) to [3](docs/specification/efficientat.md#s3).

``model = get_model(width_mult=0.4, pretrained_name="mn04_as")`` takes mel (B, 1, F, T) and returns (logits, features).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from torch import Tensor, nn

from auricle.core.errors import AuricleError, nearest
from auricle.frontends.efficientat_mel import EfficientATMel
from auricle.models.efficientat.config import DyMNConfig, MNConfig, kernel_temperature
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN

# the original's argument -> Auricle's field
SHARED = {"num_classes": "num_classes", "width_mult": "width", "strides": "strides", "dropout": "dropout"}
MN_ARGUMENTS = SHARED | {
    "reduced_tail": "reduced_tail",
    "dilated": "dilated",
    "head_type": "head",
    "multihead_attention_heads": "num_heads",
    "input_dim_t": "frames",
    "se_dims": "se_dims",
    "se_agg": "se_agg",
    "se_r": "se_ratio",
}
DYMN_ARGUMENTS = SHARED | {
    "use_dy_blocks": "dynamic_blocks",
    "context_ratio": "context_ratio",
    "min_context_size": "min_context",
    "max_context_size": "max_context",
    "dyconv_k": "conv_kernels",
    "dyrelu_k": "relu_lines",
    "pretrain_final_temp": "temperature",
}
DYMN_SWITCHES = {"no_dyrelu": "dynamic_relu", "no_dyconv": "dynamic_conv", "no_ca": "coordinate_attention"}
FREE = {"num_classes", "dropout", "pretrain_final_temp", "input_dim_t"}  # of a published network
SCHEDULE = {"T_max": "highest", "T_min": "lowest", "T0_slope": "fall", "T1_slope": "tail"}


def mn_config(**arguments: Any) -> MNConfig:
    """Convert the arguments of the original constructor to an MNConfig."""
    n_mels = arguments.pop("input_dim_f", 128)
    return MNConfig(**_renamed(arguments, MN_ARGUMENTS), front_end=EfficientATMel(n_mels=n_mels).id)


def dymn_config(**arguments: Any) -> DyMNConfig:
    """Convert the arguments of the original constructor to a DyMNConfig."""
    switches: dict[str, Any] = {
        ours: not arguments.pop(theirs) for theirs, ours in DYMN_SWITCHES.items() if theirs in arguments
    }
    return DyMNConfig(**_renamed(arguments, DYMN_ARGUMENTS), **switches)


def _renamed(arguments: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    for name in arguments:
        if name not in names:
            raise AuricleError(f"unknown argument '{name}'{nearest(name, tuple(names))}")
    return {names[name]: value for name, value in arguments.items()}


class OriginalModel(nn.Module):
    """The original's interface: mel (B, 1, F, T) -> logits (B, C), and features (B, D) or the 17 feature maps.

    Modules and state dict have the original's names (``features``, ``classifier``; ``layers``, ``in_c``, ``out_c``), so it
    loads and saves published files. ``encoder`` is the same network as an Auricle encoder.
    """

    encoder: MN | DyMN
    classifier: nn.Module

    def __init__(self, encoder: MN | DyMN, schedule: dict[str, float] | None = None):
        super().__init__()
        self.__dict__["encoder"] = encoder  # not registered as a submodule: its submodules are registered below
        self.schedule = schedule or {}
        for name, module in encoder.named_children():
            self.add_module(name, module)

    def train(self, mode: bool = True) -> OriginalModel:
        self.encoder.train(mode)
        return super().train(mode)

    def forward(self, x: Tensor, return_fmaps: bool = False) -> tuple[Tensor, Tensor | list[Tensor]]:
        if not return_fmaps:
            y = self.encoder.trunk(x[:, 0])
            return self.classifier(y), y.mean((2, 3))
        maps = []
        for stage in self.encoder.stages():
            x = stage(x)
            maps.append(x)
        return self.classifier(x), maps

    def update_params(self, epoch: int) -> None:
        """Set DyMN's kernel temperature at the start of an epoch (counted from 0)."""
        if self.encoder.info.family == "dymn":
            cast(DyMN, self.encoder).set_temperature(kernel_temperature(epoch, **self.schedule))


def get_model(pretrained_name: str | None = None, *, dynamic: bool | None = None, **arguments: Any) -> OriginalModel:
    """Build an MN or DyMN with the arguments of the original's ``get_model``.

    Args:
        pretrained_name: published weights to load; None: random weights.
        dynamic: True: a DyMN; None: a DyMN if the name begins with "dymn".
        arguments: the original's arguments; another ``num_classes`` than the published one initialises the last layer.

    Raises:
        AuricleError: for unknown arguments, and for arguments that contradict the published network.
    """
    dynamic = str(pretrained_name).startswith("dymn") if dynamic is None else dynamic
    if not dynamic and (misplaced := sorted(SCHEDULE.keys() & arguments.keys())):
        raise AuricleError(f"{', '.join(misplaced)} set DyMN's kernel temperature, which an MN does not have")
    schedule = {ours: arguments.pop(theirs) for theirs, ours in SCHEDULE.items() if theirs in arguments}
    config = dymn_config(**arguments) if dynamic else mn_config(**arguments)
    if pretrained_name is None:
        temperature = schedule.get("highest", 30.0)
        encoder = DyMN(replace(config, temperature=temperature)) if isinstance(config, DyMNConfig) else MN(config)
        return OriginalModel(encoder, schedule)
    encoder = _pretrained(pretrained_name, config, arguments)
    return OriginalModel(encoder, schedule | {"highest": arguments.get("pretrain_final_temp", 1.0)})


def _pretrained(name: str, config: MNConfig | DyMNConfig, arguments: dict[str, Any]) -> MN | DyMN:
    from auricle.hub.load import load

    encoder = load(name)
    if encoder.info.family not in ("mn", "dymn"):
        raise AuricleError(f"'{name}' is not an EfficientAT network but one of the family {encoder.info.family}")
    encoder = cast(MN | DyMN, encoder)
    _check(name, encoder, config, arguments)
    if encoder.info.family == "dymn":
        # 1 by default, independent of training: [efficientat 3.4](docs/specification/efficientat.md#s3-4)
        cast(DyMN, encoder).set_temperature(arguments.get("pretrain_final_temp", 1.0))
    count = arguments.get("num_classes", encoder.config.num_classes)
    return encoder if count == encoder.config.num_classes else encoder.with_classes(count)  # type: ignore[return-value]


def _check(name: str, encoder: MN | DyMN, config: MNConfig | DyMNConfig, arguments: dict[str, Any]) -> None:
    """Raise AuricleError if an argument contradicts the published network."""
    if type(config) is not type(encoder.config):
        raise AuricleError(f"'{name}' is of the family {encoder.info.family}, which 'dynamic' contradicts")
    names = MN_ARGUMENTS | DYMN_ARGUMENTS | DYMN_SWITCHES | {"input_dim_f": "front_end"}
    for theirs in sorted(arguments.keys() - FREE):
        expected, actual = getattr(config, names[theirs]), getattr(encoder.config, names[theirs])
        if theirs == "input_dim_f":
            expected, actual = arguments[theirs], encoder.front.n_mels
        if (tuple(expected) if isinstance(expected, list) else expected) != actual:
            raise AuricleError(f"{theirs}={arguments[theirs]!r} contradicts '{name}'; leave it out")
