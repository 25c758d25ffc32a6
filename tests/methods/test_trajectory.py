"""Thirty steps of our loop and of plain implementations: the same weights, order and masks give the same losses."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.data.loading.statistics import Statistics
from auricle.hub.convert.m2d import to_ours
from auricle.hub.run_folder import RunFolder
from auricle.methods.config import TrainConfig
from auricle.methods.m2d.config import M2DConfig, M2DXConfig
from auricle.methods.m2d.objective import M2D
from auricle.methods.m2d.variants import M2DX
from auricle.models.m2d.config import PredictorConfig, ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from auricle.training.distributed import DistContext
from auricle.training.log import read_log
from auricle.training.loop import Trainer
from auricle.training.optimizers import TrainingLength
from helpers.plain import plain
from helpers.plain_m2d_x import LiteralM2DX

m2d_plain = plain("m2d_plain")

STATS = (-6.0, 3.0)
EPOCHS, PER_EPOCH, CLIPS = 6, 5, 4
RATE, WARMUP = 2e-3, 1.0
MODEL = ViTConfig("80x64", "16x16", embed_dim=32, depth=2, num_heads=2)
PREDICTOR = PredictorConfig(24, 1, 2)
SIZES = dict(
    input_size=(80, 64), patch_size=(16, 16), embed_dim=32, depth=2, num_heads=2, decoder_embed_dim=24, decoder_depth=1,
    decoder_num_heads=2, norm_stats=STATS,
)  # fmt: skip
TRAIN = TrainConfig(
    epochs=EPOCHS, batch_size=CLIPS, lr=RATE, warmup_epochs=WARMUP, precision="float32", log_interval=1, workers=0,
    device="cpu",
)  # fmt: skip


def values(step: int, kind: str = "clean") -> torch.Tensor:
    """(B, F, T) raw log-mel of a micro-step."""
    generator = torch.Generator().manual_seed(1000 * (kind == "mixed") + step)
    tilt = torch.linspace(2, -2, 80)[:, None]
    return STATS[0] + tilt + STATS[1] * torch.randn(CLIPS, 80, 64, generator=generator)


def batch(step: int, noisy: bool) -> Batch:
    clean = values(step)
    return Batch(
        lengths=torch.full((CLIPS,), 64),
        ids=tuple(map(str, range(CLIPS))),
        rate=16000,
        spec=values(step, "mixed") if noisy else clean,
        clean=clean if noisy else None,
        front_end="m2d-logmel/16k",
        epoch=step // PER_EPOCH,
        positions=tuple(step % PER_EPOCH * CLIPS + i for i in range(CLIPS)),
    )


def normalised(raw: torch.Tensor) -> torch.Tensor:
    """(B, 1, F, T) as the plain programs take it."""
    return ((raw - STATS[0]) / STATS[1])[:, None]


def our_losses(objective, folder, noisy: bool) -> list[float]:
    """By our loop: the log of a run of thirty micro-steps."""
    steps = EPOCHS * PER_EPOCH
    trainer = Trainer(
        objective,
        SimpleNamespace(
            batches=lambda first: (batch(s, noisy) for s in range(first, steps)),
            valid=None,
            sample=None,
            key="",
            statistics=Statistics(-7.0, 4.0),
            warnings=list,
        ),
        TrainingLength.of(PER_EPOCH, TRAIN),
        TRAIN,
        RunFolder.create(folder, {}),
        DistContext(0, 1, torch.device("cpu")),
        quiet=True,
    )
    trainer.fit()
    return [row["loss"] for row in read_log(folder / "metrics.jsonl", "step")]


def plain_losses(model, noisy: bool) -> list[float]:
    """By the plain program: its own schedule, optimiser and teacher averaging."""
    optimizer, losses, total = m2d_plain.make_optimizer(model, RATE), [], EPOCHS * PER_EPOCH
    for step in range(total):
        for group in optimizer.param_groups:
            group["lr"] = m2d_plain.lr_at(step / PER_EPOCH, RATE, EPOCHS, WARMUP)
        clips = batch(step, noisy)
        noise = torch.from_numpy(BatchKey(0, clips.epoch, clips.positions).uniform("mask", 20))
        clean = () if not isinstance(model, LiteralM2DX) else (normalised(values(step)),)
        loss = model(normalised(clips.spec), noise, *clean)
        loss.backward()
        m2d_plain.apply_step(model, optimizer, TRAIN.clip_grad, m2d_plain.ema_decay_at(step, total))
        losses.append(loss.item())
    return losses


def plain_m2d(seed: int):
    torch.manual_seed(seed)
    return m2d_plain.M2D(**SIZES)


@pytest.mark.parametrize("noisy", [False, True])
def test_m2d_follows_the_plain_program_for_thirty_steps(tmp_path, noisy):
    reference = plain_m2d(0)
    objective = M2D(MODEL, PREDICTOR, M2DConfig(), stats=STATS)
    objective.load_state_dict(to_ours(reference.state_dict()))
    ours, wanted = our_losses(objective, tmp_path / "run", noisy), plain_losses(reference, noisy)
    assert len(ours) == 30
    np.testing.assert_allclose(ours, wanted, rtol=1e-4)


def test_m2d_x_follows_a_literal_restatement_for_thirty_steps(tmp_path):
    teacher, (torch_seed, outputs) = plain_m2d(7), (1, 5 * 32)
    torch.manual_seed(torch_seed)
    reference = LiteralM2DX(teacher, outputs, loss_m2d=1.0, loss_off=0.5, **SIZES)
    encoder = M2DEncoder(MODEL, stats=(-1.0, 1.0))  # its own statistics are not used: the student's are
    tensors = to_ours(teacher.state_dict())
    own = {name: tensors[f"online.{name}"] for name in encoder.state_dict()}
    encoder.load_state_dict({**own, "norm_stats": encoder.norm_stats})
    objective = M2DX(MODEL, PREDICTOR, M2DXConfig(loss_m2d=1.0, loss_off=0.5), encoder, stats=STATS)
    objective.load_state_dict(to_ours(reference.state_dict()))
    ours, wanted = our_losses(objective, tmp_path / "run", noisy=True), plain_losses(reference, noisy=True)
    np.testing.assert_allclose(ours, wanted, rtol=1e-4)
