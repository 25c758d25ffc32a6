"""The upstream modules: a list of waveforms in, hidden states of all layers out.

Source: [evaluation 6](docs/specification/evaluation.md#s6), [m2d 7](docs/specification/m2d.md#s7),
[mae_ast 11](docs/specification/mae_ast.md#s11). They are plain PyTorch modules, so that s3prl is not needed to use or test them.

Each clip comes out as if it had been encoded alone. The originals encode the zero-padded batch; ``padding: published`` does so too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from auricle.compat.s3prl.checkpoints import UpstreamWeights, parse_checkpoint, read_settings
from auricle.core.errors import AuricleError
from auricle.evaluation.suites.superb.hidden_states import HiddenStates, States
from auricle.frontends.running_norm import RunningNorm
from auricle.models.base import Encoder


class EncoderUpstream(nn.Module):
    """The upstream ``auricle``: any encoder.

    Args:
        ckpt: ``PATH`` or ``PATH,MEAN,STD``, where PATH is what ``auricle.load`` takes; or an Encoder.
        model_config: A YAML file or mapping with ``padding`` ("exact" or "published").

    Example:
        upstream = EncoderUpstream("mn04_as")
        states = upstream([torch.randn(16000), torch.randn(9000)])["hidden_states"]
    """

    name, family, stats_needed = "auricle", "", False

    def __init__(self, ckpt: str | Encoder | None = None, model_config: Any = None, **_: Any):
        super().__init__()
        self.settings = read_settings(model_config)
        encoder = ckpt if isinstance(ckpt, Encoder) else self._load(self._parse(ckpt))
        if self.family and encoder.info.family != self.family:
            raise AuricleError(
                f"{encoder.info.name} is of the family {encoder.info.family}, the upstream {self.name} takes "
                f"{self.family}; the upstream auricle takes every encoder"
            )
        self.states = HiddenStates(encoder.without_head().eval(), self.settings["padding"])

    def _parse(self, ckpt: Any) -> UpstreamWeights:
        return parse_checkpoint(ckpt, self.name, stats_needed=self.stats_needed)

    @staticmethod
    def _load(checkpoint: UpstreamWeights) -> Encoder:
        from auricle.hub.load import load

        encoder = load(checkpoint.path)
        return encoder if checkpoint.stats is None else encoder.with_stats(*checkpoint.stats)

    @property
    def encoder(self) -> Encoder:
        return self.states.encoder

    def get_downsample_rates(self, key: str | None = None) -> int:
        """Return the samples at 16 kHz per frame, the same for all features."""
        return self.states.rate

    def forward(self, wavs: Sequence[Tensor]) -> dict[str, Any]:
        """Encode waveforms.

        Args:
            wavs: One (S,) per clip at 16 kHz.

        Returns:
            ``hidden_states``: one (B, T, D) per layer, zero after the end of a clip; ``hidden_state_0``, … are the same by
            number; ``last_hidden_state`` (B, T, D).
        """
        return outputs(self.states(wavs))


class M2DUpstream(EncoderUpstream):
    """The upstream ``m2d``: ``PATH,MEAN,STD``, with the statistics of the task's data."""

    name, family, stats_needed = "m2d", "m2d", True


class MAEASTUpstream(EncoderUpstream):
    """The upstream ``mae_ast``: patch models have a frame each 2,560 samples, frame models each 320."""

    name, family = "mae_ast", "mae-ast"


class M2DCalcNorm(EncoderUpstream):
    """The upstream ``m2d_calcnorm``: measures the statistics of the zero-padded batches that pass, then ends the process.

    ``updates`` of the settings is the number of batches (10,000). The report is printed, and the exit status is 0 (the original's
    is not 0).
    """

    name, family = "m2d_calcnorm", "m2d"

    def __init__(self, ckpt: str | Encoder | None = None, model_config: Any = None, **_: Any):
        super().__init__(ckpt, model_config)
        self.norm = RunningNorm(self.settings["updates"])

    def _parse(self, ckpt: Any) -> UpstreamWeights:
        return UpstreamWeights(parse_checkpoint(str(ckpt or "").partition(",")[0], self.name).path)

    def forward(self, wavs: Sequence[Tensor]) -> dict[str, Any]:
        """Add a batch to the statistics and encode it with them, as the original does.

        Raises:
            SystemExit: With status 0, after the report, when the last batch has been measured.
        """
        batch, _ = self.states.batch(wavs)
        spec = self.encoder.frontend(batch, padding="published")
        self.norm.update(spec.values)
        if self.norm.finished:
            finish(self.norm)
        measured = self.encoder.with_stats(self.norm.mean.item(), self.norm.std.item())
        with torch.no_grad():
            return outputs(self.states.states(measured.encode(spec, layers=self.states.layers, padding="published")))


def report(norm: RunningNorm) -> str:
    """Return the three lines that the original prints."""
    return (
        f"*** Running Norm has finished updates over {norm.updates} times, using the following stats from now on. ***\n"
        f"mean={norm.mean.item()}, std={norm.std.item()}\n"
        "*** Please use these statistics in your model. EXIT... ***"
    )


def finish(norm: RunningNorm) -> None:
    """Print the report and end the process with status 0."""
    print(report(norm), flush=True)
    raise SystemExit(0)


def outputs(states: States) -> dict[str, Any]:
    """Return hidden states by the names that s3prl selects features by."""
    numbered = {f"hidden_state_{i}": layer for i, layer in enumerate(states.layers)}
    return {"last_hidden_state": states.last, "hidden_states": states.layers, **numbered}
