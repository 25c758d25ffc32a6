"""M2D-AS (specification m2d 4.4): M2D, and labels of the clip predicted from the mean of the head's outputs over time."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional

from auricle.data.batch import Batch
from auricle.errors import AuricleError
from auricle.models.config import PredictorConfig, ViTConfig
from auricle.objectives.config import M2DASConfig
from auricle.objectives.offline import WithOffline


class M2DAS(WithOffline):
    """``classes`` outputs; binary cross-entropy over the labels that were annotated (``batch.label_mask``).

    The mean is over the annotated pairs of the batch at hand, so with partial labels ranks and accumulation equal one large
    batch only where every part holds as many.
    """

    def __init__(self, model: ViTConfig, predictor: PredictorConfig, config: M2DASConfig, classes: int, **options: Any):
        if config.noise_on == "teacher":
            raise AuricleError("M2D-AS learns from labels: there is no teacher to hear the noise; use noise_on student")
        super().__init__(model, predictor, config, classes, **options)

    def offline_error(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean over all annotated (clip, class) pairs. Raises AuricleError when the batch has other labels or none."""
        logits, labels = outputs.float().mean(dim=1), batch.labels
        if labels is None or labels.shape != logits.shape:
            found = "none" if labels is None else f"{labels.shape[1]}"
            raise AuricleError(f"M2D-AS needs labels of {logits.shape[1]} classes, the data have {found}")
        if batch.label_mask is None:
            return functional.binary_cross_entropy_with_logits(logits, labels)
        total = functional.binary_cross_entropy_with_logits(logits, labels, weight=batch.label_mask, reduction="sum")
        return total / batch.label_mask.sum().clamp(min=1)
