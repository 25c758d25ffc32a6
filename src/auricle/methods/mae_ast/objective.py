"""MAE-AST: match each prediction to its masked token of the clip (InfoNCE), and reconstruct the token.

Source: [mae_ast 5](docs/specification/mae_ast.md#s5), [7](docs/specification/mae_ast.md#s7).

SSAST's objective is the same with other settings ([mae_ast 12](docs/specification/mae_ast.md#s12)): the encoder sees learnt
tokens in the place of masked ones, there is no decoder, and each loss has its own mask and forward pass.

Losses are computed in float32. ``real`` (B, M) is False for padding, which takes no part in a loss; None: all tokens are real.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.methods.base import Objective, Preview, TrainProgress, spectrogram_of, token_error
from auricle.methods.mae_ast.config import MAEASTObjectiveConfig
from auricle.methods.mae_ast.masks import draw_mask
from auricle.models.layers.init import keyed, linear_rule
from auricle.models.layers.transformer import take
from auricle.models.mae_ast.config import MAEASTConfig
from auricle.models.mae_ast.encoder import MAEASTEncoder
from auricle.models.masking.patches import Mask

PADDING_SCORE = -1e30  # its probability is exactly 0, and rows of padding alone stay finite


def token_nce(
    prediction: Tensor, target: Tensor, real: Tensor | None = None, *, among: str = "targets"
) -> tuple[Tensor, Tensor]:
    """Compute the matching loss of each token by raw dot products, without temperature.

    Negatives are the other masked tokens of the same clip.

    Args:
        prediction, target: (B, M, P).
        among: "targets": which target belongs to a prediction (MAE-AST); "predictions": which prediction belongs to a
            target, while a match is still decided by the predictions (SSAST).

    Returns:
        The loss (B, M) in nats, 0 for padding, and a bool (B, M), True if the token matches its partner.
    """
    prediction, target = prediction.float(), target.float()
    queries, keys = (prediction, target) if among == "targets" else (target, prediction)
    with torch.autocast(prediction.device.type, enabled=False):
        scores = torch.bmm(queries, keys.transpose(1, 2))
    if real is not None:
        scores = scores.masked_fill(~real[:, None, :], PADDING_SCORE)
    partner = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape[:2])
    loss = functional.cross_entropy(scores.flatten(0, 1), partner.flatten(), reduction="none").view(partner.shape)
    matched = _best(scores.detach(), real, among) == partner
    return (loss, matched) if real is None else (loss * real, matched & real)


def _best(scores: Tensor, real: Tensor | None, among: str) -> Tensor:
    if among == "targets":
        return scores.argmax(dim=-1)
    log_probs = scores.log_softmax(dim=-1)  # SSAST takes the best row of each column of the row-wise probabilities
    return (log_probs if real is None else log_probs.masked_fill(~real[:, :, None], PADDING_SCORE)).argmax(dim=1)


def info_nce(
    prediction: Tensor, target: Tensor, real: Tensor | None = None, *, among: str = "targets"
) -> tuple[Tensor, Tensor]:
    """Return the mean loss in nats and the accuracy, the ratio of tokens that match their partner; see ``token_nce``."""
    loss, matched = token_nce(prediction, target, real, among=among)
    return mean_of(loss, real), mean_of(matched.float(), real)


def reconstruction_loss(reconstruction: Tensor, target: Tensor, real: Tensor | None = None) -> Tensor:
    """Return the mean squared difference of (B, M, P) pairs, a scalar."""
    if real is None:
        return functional.mse_loss(reconstruction.float(), target.float())
    return mean_of(token_error(target, reconstruction, "mse"), real)


def mean_of(values: Tensor, real: Tensor | None) -> Tensor:
    """Return the mean of values (B, M) over the real tokens of all clips."""
    return values.mean() if real is None else (values * real).sum() / real.sum()


BIT = math.log(2)  # nats; the original logs losses in bits and optimises them in nats
LOSSES = ("classification", "reconstruction")


@dataclass(frozen=True)
class TokenBatch:
    """A batch as tokens.

    spec    (B, F, T), normalised
    tokens  (B, N, P)
    grid    channels and time steps
    sizes   (B,) real tokens of each clip
    real    (B, N), False for padding; None: all tokens are real
    """

    spec: Tensor
    tokens: Tensor
    grid: tuple[int, int]
    sizes: list[int]
    real: Tensor | None


@dataclass(frozen=True)
class MaskedTokens:
    """The masked tokens of a batch.

    hidden  (B, M, D), the network's outputs
    target  (B, M, P)
    real    (B, M), False for padding; None: all tokens are real
    """

    mask: Mask
    hidden: Tensor
    target: Tensor
    real: Tensor | None


class MAEAST(Objective):
    """Owns the network. ``encoder()`` returns all of it, decoder and heads included, as the published files hold it.

    Logged losses are in bits (the original's unit), the returned loss is in nats. Parameters that take no part in any step,
    such as the unused ``layer_norm`` and the head of a loss of weight 0, are frozen.
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
            parameter.requires_grad_(not parameter_name.startswith(self._unused_prefixes()))
        self.unused_parameters = model.encoder_layerdrop > 0 or model.decoder_layerdrop > 0

    def _unused_prefixes(self) -> tuple[str, ...]:
        unused = [loss for loss, weight in self.weights.items() if not weight]
        heads = [name for loss in unused for name in (f"online.final_proj_{loss}.", f"mlp.{loss}.")]
        decoder = ("online.decoder", "online.post_enc_proj.") if self.config.encoder_mask_tokens else ()
        return ("online.layer_norm.", *heads, *decoder)

    def encoder(self) -> MAEASTEncoder:
        return self.online

    def param_groups(self, weight_decay: float) -> list[dict]:
        """One group: the published decay acts on every parameter ([mae_ast 9](docs/specification/mae_ast.md#s9))."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [{"params": trained, "weight_decay": weight_decay}]

    def forward(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch (see ``Objective.forward``).

        The log holds loss, loss_recon and loss_info_nce in bits; nll_loss and ppl as the original defines them (loss over
        masked tokens per clip); accuracy, the ratio of masked tokens matched with their own target; masked_ratio, measured.
        """
        loss, parts = self.losses(self.tokenise(batch), key)
        nll = loss.detach() / BIT / parts.pop("ntokens")
        bits = {name: value.detach() / BIT for name, value in parts.items() if name.startswith("loss")}
        rest = {name: value.detach() for name, value in parts.items() if name not in bits}
        return loss, {"loss": loss.detach() / BIT, **bits, "nll_loss": nll, "ppl": 2**nll, **rest}

    def tokenise(self, batch: Batch) -> TokenBatch:
        """Cut a batch into normalised tokens; in training by its own statistics, padding zeros included.

        Source: [mae_ast 3.3](docs/specification/mae_ast.md#s3-3).
        """
        spec, config = spectrogram_of(batch, self.online), self.online.config
        steps = self.online.steps(spec.lengths, spec.values.shape[2], "published")
        values = self.online.normalise(spec.values)
        tokens = self.online.cut(values)
        grid = (config.rows, tokens.shape[1] // config.rows)
        sizes = (steps * config.rows).tolist()
        return TokenBatch(values, tokens, grid, sizes, self.online.key_mask(steps, grid[1]))

    def draw(self, clips: TokenBatch, key: BatchKey, loss: str) -> Mask:
        """Draw the mask of a loss: one for both losses, or with ``separate_passes`` one each."""
        purpose = f"mask/{loss}" if self.config.separate_passes else "mask"
        sizes = clips.sizes if clips.real is not None else None
        return draw_mask(self.config, clips.grid, key, sizes, purpose).to(clips.tokens.device)

    def masked(self, clips: TokenBatch, mask: Mask) -> MaskedTokens:
        """Run the network on the visible tokens."""
        keys, real = None, None
        if clips.real is not None:
            only_padding = ~clips.real.gather(1, mask.visible).any(dim=1, keepdim=True)  # nothing real is visible
            keys, real = clips.real | only_padding, clips.real.gather(1, mask.hidden)
        network = self._among_mask_tokens if self.config.encoder_mask_tokens else self.online.decode_masked
        return MaskedTokens(mask, network(clips.tokens, mask, keys), take(clips.tokens, mask.hidden), real)

    def _among_mask_tokens(self, tokens: Tensor, mask: Mask, keys: Tensor | None) -> Tensor:
        """Encode all tokens, a learnt one in place of each masked one (SSAST): (B, M, D)."""
        online = self.online
        x = torch.where(mask.binary.bool()[..., None], online.encoder_mask_emb, online.post_extract_proj(tokens))
        return take(online.encoder(online.add_positions(x, "enc", keys), keys), mask.hidden)

    def head(self, loss: str, hidden: Tensor) -> Tensor:
        """Predict tokens (B, M, P) for one of the losses from hidden states (B, M, D)."""
        if loss in self.mlp:
            hidden = self.mlp[loss](hidden).relu()
        return getattr(self.online, f"final_proj_{loss}")(hidden)

    def losses(self, clips: TokenBatch, key: BatchKey) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss to optimise, in nats, and its unweighted parts, accuracy, ratio and masked tokens per clip."""
        parts: dict[str, Tensor] = {}
        total, masked = clips.tokens.new_zeros(()), None
        for loss, weight in self.weights.items():
            if weight:
                if masked is None or self.config.separate_passes:
                    masked = self.masked(clips, self.draw(clips, key, loss))
                part, log = self.one_loss(loss, masked)
                total, parts = total + weight * part, {**parts, **log}
        assert masked is not None
        return total, {**parts, **count_masked(masked, clips)}

    def one_loss(self, loss: str, masked: MaskedTokens) -> tuple[Tensor, dict[str, Tensor]]:
        """Return one of the two losses, not weighted, and what to log of it."""
        predicted = self.head(loss, masked.hidden)
        if loss == "reconstruction":
            error = reconstruction_loss(predicted, masked.target, masked.real)
            return error, {"loss_recon": error}
        nce, accuracy = info_nce(predicted, masked.target, masked.real, among=self.config.matching)
        return nce, {"loss_info_nce": nce, "accuracy": accuracy}

    def summarise(self, outputs: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
        """Return means over batches, as the original; nll_loss is all losses over all masked tokens per clip."""
        logs = [log for _, log in outputs]
        if not logs:
            return {}
        means = {name: sum(log[name] for log in logs) / len(logs) for name in logs[0]}
        tokens = sum(log["loss"] / log["nll_loss"] for log in logs)
        means["nll_loss"] = sum(log["loss"] for log in logs) / tokens
        return {**means, "ppl": 2 ** means["nll_loss"]}

    @torch.no_grad()
    def diagnose(self, batch: Batch, key: BatchKey) -> dict[str, float]:
        """Return the accuracy, and ``explained``: the ratio of the masked values' variance that is reconstructed."""
        with preserve_train_mode(self):
            self.eval()  # running statistics are used and stay as they are
            clips = self.tokenise(batch)
            masked = self.masked(clips, self.draw(clips, key, "reconstruction"))
            parts: dict[str, Tensor] = {}
            for loss, weight in self.weights.items():
                if weight:
                    parts |= self.one_loss(loss, masked)[1]
        numbers = {name: float(value) for name, value in parts.items() if name == "accuracy"}
        if "loss_recon" in parts:
            target = masked.target if masked.real is None else masked.target[masked.real]
            numbers["explained"] = 1.0 - float(parts["loss_recon"]) / max(float(target.var(correction=0)), 1e-12)
        return numbers

    @torch.no_grad()
    def preview(self, batch: Batch, key: BatchKey) -> Preview:
        """Return errors of the reconstruction per token; with matching alone its loss in nats, and no reconstruction."""
        loss = "reconstruction" if self.weights["reconstruction"] else "classification"
        with preserve_train_mode(self):
            self.eval()
            clips = self.tokenise(batch)
            masked = self.masked(clips, self.draw(clips, key, loss))
            predicted = self.head(loss, masked.hidden).float()
        grids = on_grid(masked.mask.binary, clips), on_grid(self.errors(loss, predicted, masked), clips)
        spec = self.online.uncut(clips.tokens)
        if loss == "classification":
            return Preview(spec, *grids)
        index = masked.mask.hidden[..., None].expand(predicted.shape)
        return Preview(spec, *grids, self.online.uncut(clips.tokens.scatter(1, index, predicted)))

    def errors(self, loss: str, predicted: Tensor, masked: MaskedTokens) -> Tensor:
        """Return the error of each token (B, N), NaN where nothing was predicted."""
        if loss == "classification":
            errors = token_nce(predicted, masked.target, masked.real, among=self.config.matching)[0]
        else:
            errors = token_error(masked.target, predicted, "mse")
        if masked.real is not None:
            errors = errors.masked_fill(~masked.real, torch.nan)
        return torch.full_like(masked.mask.binary, torch.nan).scatter_(1, masked.mask.hidden, errors)


def on_grid(values: Tensor, clips: TokenBatch) -> Tensor:
    """Place values (B, N) of time-major tokens on the grid (B, channels, steps)."""
    return values.unflatten(1, clips.grid[::-1]).transpose(1, 2)


def count_masked(masked: MaskedTokens, clips: TokenBatch) -> dict[str, Tensor]:
    """Return the masked tokens per clip, and their measured ratio to the real ones."""
    per_clip = masked.mask.hidden.shape[1]
    ratio = per_clip / clips.tokens.shape[1] if masked.real is None else float(masked.real.sum()) / sum(clips.sizes)
    return {"masked_ratio": torch.tensor(ratio), "ntokens": torch.tensor(float(per_clip))}


@contextmanager
def preserve_train_mode(module: nn.Module) -> Iterator[None]:
    """Give every part of ``module`` back the mode (training or evaluation) that it had before."""
    modes = {part: part.training for part in module.modules()}
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
