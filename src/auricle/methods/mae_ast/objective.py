"""MAE-AST (specification mae_ast 5, 7): from the visible tokens, say which masked token of the clip is which, and rebuild it.

SSAST's objective is the same with other settings (specification mae_ast 12): the encoder sees learnt tokens in the place
of masked ones, there is no decoder, and each loss has a mask and a pass of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.methods.base import Objective, Preview, TrainProgress, spec_of
from auricle.methods.config import SPANS, MAEASTObjectiveConfig
from auricle.methods.mae_ast.losses import info_nce, reconstruction_loss, token_error, token_nce
from auricle.models.layers.init import keyed, linear_rule
from auricle.models.layers.transformer import take
from auricle.models.mae_ast.config import MAEASTConfig
from auricle.models.mae_ast.encoder import MAEASTEncoder
from auricle.models.masking.mae_ast import (
    Spans,
    chunk_mask,
    random_mask,
    same_for_all,
    span_mask,
    ssast_frame_mask,
    ssast_patch_mask,
)
from auricle.models.masking.patches import Mask

# From the settings of a MAE-AST run to the mask of a batch.


def draw_mask(
    config: MAEASTObjectiveConfig,
    grid: tuple[int, int],
    key: BatchKey,
    sizes: Sequence[int] | None = None,
    purpose: str = "mask",
) -> Mask:
    """The mask of a batch on a grid of (channels, time steps); ``sizes`` (B,) are the real tokens of clips with padding.

    random_mask, SSAST's masks and chunks with ``chunk_per_clip`` are drawn per clip and depend on nothing else.
    random_mask_batched and chunk_mask share one mask, keyed by the batch's first clip, and spans are cut to the smallest
    union of the batch: these depend on how the batch was cut, as published. Raises AuricleError where nothing can be hidden.
    """
    tokens, clips = grid[0] * grid[1], len(key.positions)
    if config.mask_type in SPANS:
        sources = key.each(purpose)
        sizes = [tokens] * clips if sizes is None else sizes
        mask = span_mask(sizes, tokens, spans_of(config), sources, retain=config.mask_type == "retain_spans")
    elif config.mask_type == "random_mask":
        mask = random_mask(tokens, config.random_mask_prob, key.each(purpose), sizes)
    else:
        mask = _on_grid(config, grid, key, purpose)
    if mask.len_keep == tokens:
        raise AuricleError(
            f"a clip of {tokens} tokens cannot be masked at {config.random_mask_prob:g}; use longer clips"
        )
    return mask


def _on_grid(config: MAEASTObjectiveConfig, grid: tuple[int, int], key: BatchKey, purpose: str) -> Mask:
    prob, (channels, steps) = config.random_mask_prob, grid
    if config.mask_type == "ssast_patch":
        return ssast_patch_mask(grid, prob, key.each(purpose))
    if config.mask_type == "ssast_frame":
        return ssast_frame_mask(grid, prob, key.each(purpose))
    if config.mask_type == "chunk_mask" and config.chunk_per_clip:
        return chunk_mask(channels * steps, prob, channels, key.each(purpose))
    shared = [key.shared(purpose)]
    if config.mask_type == "chunk_mask":
        return same_for_all(chunk_mask(channels * steps, prob, channels, shared), len(key.positions))
    return same_for_all(random_mask(channels * steps, prob, shared), len(key.positions))


def spans_of(config: MAEASTObjectiveConfig) -> Spans:
    return Spans(
        config.random_mask_prob,
        config.mask_length,
        config.mask_selection,
        config.mask_other,
        not config.separate_spans,
        config.mask_min_space,
    )


BIT = math.log(2)  # nats; the original logs losses in bits and optimises them in nats
LOSSES = ("classification", "reconstruction")


@dataclass(frozen=True)
class Scene:
    """A batch as tokens: spec (B, F, T) normalised, tokens (B, N, P), sizes (B,) real tokens per clip, the grid of
    (channels, time steps), and real (B, N), False for padding, or None where all tokens are real."""

    spec: Tensor
    tokens: Tensor
    grid: tuple[int, int]
    sizes: list[int]
    real: Tensor | None


@dataclass(frozen=True)
class MaskedClips:
    """What is known of the masked tokens: hidden (B, M, D) from the network, target (B, M, P), real (B, M) or None."""

    mask: Mask
    hidden: Tensor
    target: Tensor
    real: Tensor | None


class MAEAST(Objective):
    """Owns the network; ``encoder()`` is all of it, decoder and heads included, as the published files are.

    Logged losses are in bits (the original's unit), the returned one is in nats. What takes no part in any step, such as
    the relic ``layer_norm`` and the head of a loss of weight 0, is frozen.
    """

    def __init__(self, model: MAEASTConfig, config: MAEASTObjectiveConfig, *, seed: int = 0, name: str = "mae-ast"):
        super().__init__()
        self.config = config
        self.online = MAEASTEncoder(model, seed=seed, name=name)
        if config.encoder_mask_tokens and model.decoder_embed_dim != model.embed_dim:
            raise AuricleError("without a decoder (--encoder-mask-tokens) the decoder's width must be the encoder's")
        width = model.decoder_embed_dim
        self.mlp = nn.ModuleDict({loss: nn.Linear(width, width) for loss in LOSSES if config.mlp_heads})
        keyed(self.mlp, seed, linear_rule, prefix="mlp")
        self.weights = dict(zip(LOSSES, (config.classification_weight, config.reconstruction_weight)))
        for parameter_name, parameter in self.named_parameters():
            parameter.requires_grad_(not parameter_name.startswith(self._without_part()))
        self.unused_parameters = model.encoder_layerdrop > 0 or model.decoder_layerdrop > 0

    def _without_part(self) -> tuple[str, ...]:
        idle = [loss for loss, weight in self.weights.items() if not weight]
        heads = [name for loss in idle for name in (f"online.final_proj_{loss}.", f"mlp.{loss}.")]
        decoder = ("online.decoder", "online.post_enc_proj.") if self.config.encoder_mask_tokens else ()
        return ("online.layer_norm.", *heads, *decoder)

    def encoder(self) -> MAEASTEncoder:
        return self.online

    def param_groups(self, weight_decay: float) -> list[dict]:
        """One group: the published decay acts on every parameter (specification mae_ast 9)."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [{"params": trained, "weight_decay": weight_decay}]

    def forward(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> tuple[Tensor, dict[str, Tensor]]:
        """loss, loss_recon, loss_info_nce in bits; nll_loss and ppl as the original defines them (loss over masked tokens
        per clip); accuracy, the share of masked tokens matched with their own target; masked_ratio, measured."""
        loss, found = self.losses(self.scene(batch), key)
        nll = loss.detach() / BIT / found.pop("ntokens")
        bits = {name: value.detach() / BIT for name, value in found.items() if name.startswith("loss")}
        rest = {name: value.detach() for name, value in found.items() if name not in bits}
        return loss, {"loss": loss.detach() / BIT, **bits, "nll_loss": nll, "ppl": 2**nll, **rest}

    # -------------------------------------------------------------------------------------------------------------- parts
    def scene(self, batch: Batch) -> Scene:
        """The batch as normalised tokens; in training by its own statistics, padding zeros included (3.3)."""
        spec, config = spec_of(batch, self.online), self.online.config
        steps = self.online.steps(spec.lengths, spec.values.shape[2], "published")
        values = self.online.normalise(spec.values)
        tokens = self.online.cut(values)
        grid = (config.rows, tokens.shape[1] // config.rows)
        sizes = (steps * config.rows).tolist()
        return Scene(values, tokens, grid, sizes, self.online.key_mask(steps, grid[1]))

    def masked(self, scene: Scene, mask: Mask) -> MaskedClips:
        """The network on what ``mask`` leaves visible."""
        keys, real = None, None
        if scene.real is not None:
            lost = ~scene.real.gather(1, mask.visible).any(dim=1, keepdim=True)  # nothing but padding would be visible
            keys, real = scene.real | lost, scene.real.gather(1, mask.hidden)
        network = self._among_mask_tokens if self.config.encoder_mask_tokens else self.online.masked
        return MaskedClips(mask, network(scene.tokens, mask, keys), take(scene.tokens, mask.hidden), real)

    def _among_mask_tokens(self, tokens: Tensor, mask: Mask, keys: Tensor | None) -> Tensor:
        """(B, M, D): the encoder on all tokens, a learnt one in place of each masked one (SSAST)."""
        online = self.online
        x = torch.where(mask.binary.bool()[..., None], online.encoder_mask_emb, online.post_extract_proj(tokens))
        return take(online.encoder(online.placed(x, "enc", keys), keys), mask.hidden)

    def head(self, loss: str, hidden: Tensor) -> Tensor:
        """(B, M, D) -> (B, M, P) predictions for one of the losses."""
        if loss in self.mlp:
            hidden = self.mlp[loss](hidden).relu()
        return getattr(self.online, f"final_proj_{loss}")(hidden)

    def draw(self, scene: Scene, key: BatchKey, loss: str) -> Mask:
        """The mask of a loss: one for both, or with ``separate_passes`` one each."""
        purpose = f"mask/{loss}" if self.config.separate_passes else "mask"
        sizes = scene.sizes if scene.real is not None else None
        return draw_mask(self.config, scene.grid, key, sizes, purpose).to(scene.tokens.device)

    def losses(self, scene: Scene, key: BatchKey) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to optimise, in nats, and its parts (before weighting), accuracy, ratio, masked tokens per clip."""
        found: dict[str, Tensor] = {}
        total, masked = scene.tokens.new_zeros(()), None
        for loss, weight in self.weights.items():
            if weight:
                if masked is None or self.config.separate_passes:
                    masked = self.masked(scene, self.draw(scene, key, loss))
                part, log = self.loss_of(loss, masked)
                total, found = total + weight * part, {**found, **log}
        assert masked is not None
        return total, {**found, **ratio_of(masked, scene)}

    def loss_of(self, loss: str, masked: MaskedClips) -> tuple[Tensor, dict[str, Tensor]]:
        """One of the two losses, not weighted, and what to log of it."""
        predicted = self.head(loss, masked.hidden)
        if loss == "reconstruction":
            error = reconstruction_loss(predicted, masked.target, masked.real)
            return error, {"loss_recon": error}
        nce, accuracy = info_nce(predicted, masked.target, masked.real, among=self.config.matching)
        return nce, {"loss_info_nce": nce, "accuracy": accuracy}

    # -------------------------------------------------------------------------------------------------- looking from outside
    def summarise(self, outputs: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
        """Means over batches, as the original; nll_loss is all losses over all masked tokens per clip, ppl its power."""
        logs = [log for _, log in outputs]
        if not logs:
            return {}
        found = {name: sum(log[name] for log in logs) / len(logs) for name in logs[0]}
        tokens = sum(log["loss"] / log["nll_loss"] for log in logs)
        found["nll_loss"] = sum(log["loss"] for log in logs) / tokens
        return {**found, "ppl": 2 ** found["nll_loss"]}

    @torch.no_grad()
    def diagnose(self, batch: Batch, key: BatchKey) -> dict[str, float]:
        """accuracy; explained: the share of the masked values' variance that the reconstruction accounts for."""
        with evaluating(self):
            scene = self.scene(batch)
            masked = self.masked(scene, self.draw(scene, key, "reconstruction"))
            parts = {
                name: value
                for loss, w in self.weights.items()
                if w
                for name, value in self.loss_of(loss, masked)[1].items()
            }
        found = {name: float(value) for name, value in parts.items() if name == "accuracy"}
        if "loss_recon" in parts:
            target = masked.target if masked.real is None else masked.target[masked.real]
            found["explained"] = 1.0 - float(parts["loss_recon"]) / max(float(target.var(correction=0)), 1e-12)
        return found

    @torch.no_grad()
    def preview(self, batch: Batch, key: BatchKey) -> Preview:
        """Errors are of the reconstruction, per token; with matching alone its loss in nats, and no reconstruction."""
        loss = "reconstruction" if self.weights["reconstruction"] else "classification"
        with evaluating(self):
            scene = self.scene(batch)
            masked = self.masked(scene, self.draw(scene, key, loss))
            predicted = self.head(loss, masked.hidden).float()
        grids = self.on_grid(masked.mask.binary, scene), self.on_grid(self.errors(loss, predicted, masked), scene)
        spec = self.online.uncut(scene.tokens)
        if loss == "classification":
            return Preview(spec, *grids)
        index = masked.mask.hidden[..., None].expand(predicted.shape)
        return Preview(spec, *grids, self.online.uncut(scene.tokens.scatter(1, index, predicted)))

    def errors(self, loss: str, predicted: Tensor, masked: MaskedClips) -> Tensor:
        """(B, N) error per token, NaN where nothing was predicted."""
        errors = token_error(predicted, masked.target)
        if loss == "classification":
            errors = token_nce(predicted, masked.target, masked.real, among=self.config.matching)[0]
        if masked.real is not None:
            errors = errors.masked_fill(~masked.real, torch.nan)
        return torch.full_like(masked.mask.binary, torch.nan).scatter_(1, masked.mask.hidden, errors)

    @staticmethod
    def on_grid(values: Tensor, scene: Scene) -> Tensor:
        """(B, N) time-major -> (B, channels, steps)."""
        return values.unflatten(1, scene.grid[::-1]).transpose(1, 2)


def ratio_of(masked: MaskedClips, scene: Scene) -> dict[str, Tensor]:
    """Masked tokens per clip, and their measured share of the real ones."""
    per_clip = masked.mask.hidden.shape[1]
    share = per_clip / scene.tokens.shape[1] if masked.real is None else float(masked.real.sum()) / sum(scene.sizes)
    return {"masked_ratio": torch.tensor(share), "ntokens": torch.tensor(float(per_clip))}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """In evaluation mode for a while: running statistics are used and stay as they are."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
