"""Settings of the MAE-AST objective. No PyTorch here: the command line reads these for its help."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.errors import AuricleError
from auricle.options import check_choices, option

MASKS = ("random_mask", "random_mask_batched", "chunk_mask", "retain_spans", "mask_spans", "ssast_patch", "ssast_frame")
SPANS = ("retain_spans", "mask_spans")


@dataclass(frozen=True)
class MAEASTObjectiveConfig:
    """Joint matching and reconstruction of masked tokens; the defaults are the published ones (specification mae_ast 2).

    SSAST's objective is the same with mask_type ssast_patch or ssast_frame, random_mask_prob 0.78125, matching predictions,
    separate_passes, encoder_mask_tokens and mlp_heads (specification mae_ast 12).
    """

    mask_type: str = option(
        "random_mask",
        "which tokens the encoder does not see; chunk_mask and random_mask_batched share one mask in the batch; "
        "retain_spans shows the drawn spans (the published code), mask_spans hides them (its text)",
        choices=MASKS,
    )
    random_mask_prob: float = option(
        0.75, "share of the tokens masked; of spans: their number times length over tokens"
    )
    mask_length: int = option(10, "tokens of a span")
    mask_selection: str = option(
        "static",
        "lengths of spans: all mask_length; uniform from mask_other to 2 mask_length; normal with deviation mask_other; poisson",
        choices=("static", "uniform", "normal", "poisson"),
    )
    mask_other: float = option(0.0, "second parameter of the lengths of spans")
    separate_spans: bool = option(False, "spans do not overlap (no_mask_overlap of the original)")
    mask_min_space: int = option(0, "least tokens between two spans that do not overlap")
    chunk_per_clip: bool = option(
        False, "chunks drawn per clip, not one mask for the batch; then ranks and accumulation equal one large batch"
    )
    classification_weight: float = option(1.0, "weight of the matching loss; 0: not computed")
    reconstruction_weight: float = option(10.0, "weight of the reconstruction loss; 0: not computed")
    matching: str = option(
        "targets",
        "what a token is looked for among: each prediction its target, or each target its prediction (SSAST)",
        choices=("targets", "predictions"),
    )
    separate_passes: bool = option(False, "a mask and a forward pass of its own for each of the two losses (SSAST)")
    encoder_mask_tokens: bool = option(
        False, "the encoder sees all tokens, a learnt one in place of masked ones, and there is no decoder (SSAST)"
    )
    mlp_heads: bool = option(False, "heads of two layers with ReLU between (SSAST) instead of one")

    def __post_init__(self) -> None:
        check_choices(self)
        if self.mask_type not in SPANS and not 0 < self.random_mask_prob < 1:
            raise AuricleError(
                f"--random-mask-prob must lie between 0 and 1 for {self.mask_type}, not {self.random_mask_prob}"
            )
        if self.random_mask_prob <= 0 or self.mask_length < 1 or self.mask_min_space < 0 or self.mask_other < 0:
            raise AuricleError(
                "spans need a positive --random-mask-prob and --mask-length, and --mask-other and --mask-min-space of 0 or more"
            )
        if self.mask_selection == "uniform" and self.mask_other > 2 * self.mask_length:
            raise AuricleError(
                f"spans of uniform length reach from --mask-other to {2 * self.mask_length}, not below it"
            )
        weights = self.classification_weight, self.reconstruction_weight
        if min(weights) < 0 or max(weights) == 0:
            raise AuricleError(f"the weights of the losses must be 0 or more and not both 0, got {weights}")
