"""Every objective at toy size with data for it: what the contract test runs on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from auricle.data.batch import Batch
from auricle.methods.base import Objective
from auricle.methods.m2d import config as settings
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from auricle.models.m2d.config import PredictorConfig, ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from helpers import mae_ast_tiny

MODEL = ViTConfig("80x64", "16x16", embed_dim=32, depth=2, num_heads=2)
SPEECH = ViTConfig("80x64", "80x4", embed_dim=32, depth=2, num_heads=2)
PREDICTOR = PredictorConfig(32, 1, 2)
STATS = (-7.0, 4.0)
FEATURES, CLASSES = 12, 5


@dataclass(frozen=True)
class Case:
    """make() builds an objective; batch(n) data for n clips, clip i the same whatever n is.

    per_clip: every draw belongs to one clip, so that the order of a batch means nothing (not so where a whole batch
    shares a draw, or clips are compared with each other); rate and falls: learning ten clips by heart at this rate
    brings the loss below ``falls`` times what it was; unit: the optimised loss over the logged one; zero: trained
    parameters whose gradient is exactly zero, as published.
    """

    make: Callable[[], Objective]
    batch: Callable[[int], Batch]
    per_clip: bool = True
    rate: float = 2e-3
    falls: float = 0.6
    unit: float = 1.0
    zero: frozenset[str] = frozenset()


def spectrograms(clips: int) -> Batch:
    """Bands of energy on noise, raw log-mel."""
    source = [torch.Generator().manual_seed(i) for i in range(clips)]
    spec = torch.stack([STATS[0] + torch.randn(80, 64, generator=generator) for generator in source])
    for i in range(clips):
        spec[i, 7 * i % 60 : 7 * i % 60 + 20, 6 * i % 40 :] += 8
    return Batch(
        lengths=torch.full((clips,), 64),
        ids=tuple(f"clip{i}" for i in range(clips)),
        rate=16000,
        spec=spec,
        front_end="m2d-logmel/16k",
        positions=tuple(range(clips)),
    )


def labelled(clips: int) -> Batch:
    """Two labels a clip; the last class was not annotated in every other clip."""
    labels, known = torch.zeros(clips, CLASSES), torch.ones(clips, CLASSES)
    for i in range(clips):
        labels[i, [i % CLASSES, 3 * i % CLASSES]] = 1.0
        known[i, -1] = float(i % 2)
    return replace(spectrograms(clips), labels=labels, label_mask=known)


def with_features(clips: int) -> Batch:
    """Features every 20 ms, half as long as the student's steps."""
    source = [torch.Generator().manual_seed(100 + i) for i in range(clips)]
    features = torch.stack([torch.randn(32, FEATURES, generator=generator) for generator in source])
    return replace(spectrograms(clips), targets={"frames": features}, target_hop=0.02)


def m2d(**changes) -> Objective:
    from auricle.methods.m2d.objective import M2D

    return M2D(MODEL, PREDICTOR, settings.M2DConfig(**changes), stats=STATS, seed=1)


def m2d_d2v() -> Objective:
    from auricle.methods.m2d.objective import M2DD2V

    return M2DD2V(MODEL, PREDICTOR, settings.M2DConfig(), stats=STATS, seed=1)


def m2d_x() -> Objective:
    from auricle.methods.m2d.variants import M2DX

    teacher = M2DEncoder(MODEL, seed=5)
    return M2DX(MODEL, PREDICTOR, settings.M2DXConfig(), teacher, stats=STATS, seed=1)


def m2d_as() -> Objective:
    from auricle.methods.m2d.variants import M2DAS

    return M2DAS(MODEL, PREDICTOR, settings.M2DASConfig(), CLASSES, stats=STATS, seed=1)


def m2d_s() -> Objective:
    from auricle.methods.m2d.variants import M2DS

    return M2DS(SPEECH, PREDICTOR, settings.M2DSConfig(), FEATURES, stats=STATS, seed=1)


def msm_mae() -> Objective:
    from auricle.methods.msm_mae.config import MsmMaeConfig
    from auricle.methods.msm_mae.objective import MsmMae

    return MsmMae(MODEL, PREDICTOR, MsmMaeConfig(), stats=STATS, seed=1)


def mae_ast(name: str) -> Callable[[], Objective]:
    return lambda: mae_ast_tiny.tiny(name, seed=1)


def supervised() -> Objective:
    from auricle.methods.supervised.config import AugmentConfig, LearningConfig
    from auricle.methods.supervised.objective import Supervised

    names = [(f"class {c}", f"class {c}") for c in range(CLASSES)]
    encoder = M2DEncoder(MODEL, seed=1).with_stats(*STATS).with_classes(CLASSES, classes=names)
    return Supervised(encoder, LearningConfig(), AugmentConfig(mixup=0.3, freq_mask=8, time_mask=8), lr=2e-3)


def supervised_frames() -> Objective:
    from auricle.methods.supervised.config import AugmentConfig, LearningConfig
    from auricle.methods.supervised.frames import SupervisedFrames

    names = [(f"class {c}", f"class {c}") for c in range(CLASSES)]
    encoder = M2DEncoder(MODEL, seed=1).with_stats(*STATS)
    head = make_head("linear", encoder, CLASSES, reads="frames")
    encoder = encoder.with_head(head, LabelSpace.of(names, "multilabel"))
    times = encoder.frame_times(4).numpy()
    options = {"windows": {}, "times": times, "seconds": 0.64, "classes": encoder.info.label_space.ids, "lr": 2e-3}
    return SupervisedFrames(encoder, LearningConfig(), AugmentConfig(mixup=0.3, freq_mask=8), **options)


def labelled_frames(clips: int) -> Batch:
    """Clip i has its labels from frame i % 4 on."""
    batch = labelled(clips)
    assert batch.labels is not None
    frames = torch.stack([(torch.arange(4) >= i % 4).float() for i in range(clips)])
    return replace(batch, frame_labels=frames[..., None] * batch.labels[:, None])


def heard(clips: int) -> Batch:
    """Tones of 0.6 s at 16 kHz."""
    time = torch.arange(9600) / 16000
    source = [torch.Generator().manual_seed(i) for i in range(clips)]
    audio = torch.stack(
        [
            0.3 * torch.sin(2 * math.pi * (200 + 150 * i) * time) + 0.02 * torch.randn(9600, generator=generator)
            for i, generator in enumerate(source)
        ]
    )
    return Batch(
        torch.full((clips,), 9600), tuple(f"clip{i}" for i in range(clips)), 16000, audio, positions=tuple(range(clips))
    )


def distillation() -> Objective:
    from auricle.methods.distillation.config import TeacherConfig
    from auricle.methods.distillation.objective import Distillation
    from auricle.methods.distillation.teachers import LiveTeachers
    from auricle.methods.supervised.config import AugmentConfig, LearningConfig

    names = [(f"class {c}", f"class {c}") for c in range(CLASSES)]
    student, teacher = (
        M2DEncoder(MODEL, seed=s).with_stats(*STATS).with_classes(CLASSES, classes=names) for s in (1, 5)
    )
    with torch.no_grad():
        teacher.head.linear.weight.mul_(1e4)  # a fresh head says the same of every clip
    config, augment = TeacherConfig(teacher=("live",), features="frames"), AugmentConfig(mixup=0.3, freq_mask=8)
    return Distillation(student, LiveTeachers([teacher]), config, LearningConfig(), augment, lr=2e-3, with_labels=False)


def kaldi(clips: int) -> Batch:
    """48 frames of Kaldi's log-mel: three whole patches."""
    return mae_ast_tiny.batch(torch.cat([mae_ast_tiny.clips(1, 48, seed=i) for i in range(clips)]))


MASK_EMBEDDING = frozenset({"online.encoder_mask_emb"})
BITS = math.log(2)  # MAE-AST logs in bits

OBJECTIVES = {
    "m2d": Case(m2d, spectrograms),
    "m2d-spans": Case(lambda: m2d(cont_mask=2), spectrograms),
    "m2d-rebuilt": Case(lambda: m2d(reconstruct=1.0), spectrograms),
    "m2d-centred": Case(lambda: m2d(centring="position-clip"), spectrograms, False, falls=0.8),
    "m2d-d2v": Case(m2d_d2v, spectrograms),
    "m2d-x": Case(m2d_x, spectrograms),
    "m2d-as": Case(m2d_as, labelled),
    "m2d-s": Case(m2d_s, with_features),
    "msm-mae": Case(msm_mae, spectrograms),
    "supervised": Case(supervised, labelled, False),
    "supervised frames": Case(supervised_frames, labelled_frames, False),
    "distillation": Case(distillation, heard, False),
    "mae-ast patch-chunk": Case(mae_ast("patch-chunk"), kaldi, False, unit=BITS, zero=MASK_EMBEDDING),
    "mae-ast frame-random": Case(mae_ast("frame-random"), kaldi, unit=BITS, zero=MASK_EMBEDDING),
    "mae-ast frame-spans": Case(mae_ast("frame-spans"), kaldi, False, unit=BITS, zero=MASK_EMBEDDING),
    "mae-ast ssast-patch": Case(mae_ast("ssast-patch"), kaldi, falls=0.75, unit=BITS),
}
