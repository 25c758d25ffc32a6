"""The objective of distillation: the losses of logits and features against a teacher, beside the loss of the labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.methods.base import Objective, TrainProgress
from auricle.methods.distillation.config import TeacherConfig
from auricle.methods.distillation.standardising import RunningStandardiser
from auricle.methods.distillation.teachers import Teacher, TeacherOutput
from auricle.methods.supervised.config import AugmentConfig, LearningConfig
from auricle.methods.supervised.groups import Groups
from auricle.methods.supervised.mixing import teacher_bce, teacher_cross_entropy
from auricle.methods.supervised.objective import Supervised, View
from auricle.models.base import Encoder
from auricle.models.layers.init import keyed, linear_rule

TEACHER_LOSSES = {"bce": teacher_bce, "cross-entropy": teacher_cross_entropy}


class Distillation(Supervised):
    """Train an encoder to give what a teacher gives.

    loss = kd_lambda * loss of the labels + (1 - kd_lambda) * loss of the teacher's logits
    ([efficientat_training 9](docs/specification/efficientat_training.md#s9); of a teacher whose classes exclude each other the loss
    of the logits is the cross-entropy with its probabilities), plus feature_weight * loss of the features:
    1 - cosine between the teacher's features and a linear function of the student's, for the clip or for every frame, mean over
    the layers that are learnt.

    Args:
        encoder: the student, with a head of the teacher's classes where logits are learnt.
        teacher: live or stored.
        config: weights of the losses.
        with_labels: whether the batches have labels of the teacher's classes.
        learning, augment, lr, class_weights, groups: as of ``Supervised``.
        seed: of the projections.
    """

    verb = "distill"

    def __init__(
        self,
        encoder: Encoder,
        teacher: Teacher,
        config: TeacherConfig,
        learning: LearningConfig,
        augment: AugmentConfig,
        *,
        lr: float,
        with_labels: bool,
        class_weights: Tensor | None = None,
        groups: Groups | None = None,
        seed: int = 0,
    ):
        super().__init__(encoder, learning, augment, lr=lr, class_weights=class_weights, groups=groups)
        self.teacher, self.distillation, self.with_labels = teacher, config, with_labels
        by_kind = {"multiclass": "cross-entropy", "multilabel": "bce"}[self.kind]
        self.answer_loss = TEACHER_LOSSES[by_kind if config.teacher_loss == "auto" else config.teacher_loss]
        if not with_labels:
            self.best_by = ("loss", -1)
        info = encoder.info
        own, theirs = {
            "none": (0, ()),
            "clip": (info.clip_dim, (teacher.clip_dim, *teacher.layer_dims)),
            "frames": (info.frame_dim, teacher.frame_dims),
        }[config.features]
        self.projections = nn.ModuleList(nn.Linear(own, dim) for dim in theirs)
        keyed(self.projections, seed, linear_rule, prefix="projections")
        self.standardisers = nn.ModuleList(RunningStandardiser(dim) for dim in theirs if config.standardise)

    def depends_on(self) -> str:
        return self.teacher.fingerprint()

    def forward(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> tuple[Tensor, dict[str, Tensor]]:
        if self.training:
            self.set_position(progress)
        answer, view = self.teacher(batch), self.encode(batch, key)
        share = self.distillation.kd_lambda if self.with_labels else 0.0
        parts: dict[str, Tensor] = {}
        if self.with_labels:
            weight = share if self.distillation.logits else 1.0
            parts["label_loss"] = weight * self.batch_label_loss(view)
        if self.distillation.logits:
            parts["distillation_loss"] = (1 - share) * self.logit_loss(view, answer).mean()
        if len(self.projections):
            parts["feature_loss"] = self.distillation.feature_weight * self.feature_loss(view, answer)
        loss = torch.stack(list(parts.values())).sum()
        return loss, {"loss": loss.detach(), **{name: part.detach() for name, part in parts.items()}}

    def logit_loss(self, view: View, answer: TeacherOutput) -> Tensor:
        """Loss of each clip against the teacher's logits, (B,); 0 for clips that the teacher does not know.

        A mixed clip learns both answers by their shares. Of a partner that the teacher does not know, the answer is left out,
        or with ``published_missing`` it is the last row of the stored table.
        """
        assert answer.logits is not None, "a teacher of logits has a head"
        temperature = self.distillation.teacher_temperature
        own = self.answer_loss(view.logits.float(), answer.logits, temperature)
        if view.mix is None:
            return own * answer.known
        share, partner = view.mix.share.to(own), view.mix.partner.to(own.device)
        other = self.answer_loss(view.logits.float(), answer.logits[partner], temperature)
        if not self.distillation.published_missing:
            other = other * answer.known[partner]
        return (share * own + (1 - share) * other) * answer.known

    def feature_loss(self, view: View, answer: TeacherOutput) -> Tensor:
        """Mean of 1 - cosine over the layers and the clips that the teacher knows, of frames over these too.

        Of a mixed clip the teacher's features are mixed likewise.
        """
        output, known = view.output, answer.known
        if view.mix is not None:
            known = known * known[view.mix.partner.to(known.device)]
        losses = []
        for place, projection in enumerate(self.projections):
            wanted = self.wanted(answer, place)
            wanted = wanted if view.mix is None else view.mix(wanted)
            if self.distillation.features == "clip":
                own = projection(output.clip).float()
            else:
                assert output.frames is not None
                own = at_times(projection(output.frames).float(), output.times, answer.frames[place][1])
            distance = 1 - functional.cosine_similarity(own, wanted, dim=-1)
            losses.append(mean_of(distance.flatten(1).mean(1) if distance.ndim > 1 else distance, known))
        return torch.stack(losses).mean()

    def wanted(self, answer: TeacherOutput, place: int) -> Tensor:
        """The teacher's features that projection ``place`` learns: (B, D) of clips, (B, T, D) of frames."""
        if self.distillation.features == "clip":
            assert answer.clip is not None
            features = (answer.clip, *answer.layer_clips)[place]
        else:
            features = answer.frames[place][0]
        return self.standardisers[place](features, answer.known) if len(self.standardisers) else features

    def validate(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> Any:
        if self.with_labels:
            return super().validate(batch, progress, key)
        return Objective.validate(self, batch, progress, key)

    def summarise(self, outputs: list[Any]) -> dict[str, float]:
        return super().summarise(outputs) if self.with_labels else Objective.summarise(self, outputs)

    def param_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        groups = super().param_groups(weight_decay)
        projections = list(self.projections.parameters())
        return [*groups, {"params": projections, "weight_decay": weight_decay}] if projections else groups


def mean_of(losses: Tensor, known: Tensor) -> Tensor:
    """Mean of losses (B,) over the clips whose ``known`` (B,) is 1; 0 where there is none."""
    known = known.to(losses)
    return (losses * known).sum() / known.sum().clamp(min=1)


def at_times(frames: Tensor, times: Tensor, wanted: Tensor) -> Tensor:
    """Interpolate frames (B, T, D) centred at ``times`` (T,) linearly to ``wanted`` (T',) seconds: (B, T', D)."""
    if frames.shape[1] == 1:
        return frames.expand(-1, len(wanted), -1)
    times, wanted = times.to(frames), wanted.to(frames)
    right = torch.searchsorted(times, wanted).clamp(1, len(times) - 1)
    left = right - 1
    share = ((wanted - times[left]) / (times[right] - times[left])).clamp(0, 1)[None, :, None]
    return frames[:, left] * (1 - share) + frames[:, right] * share
