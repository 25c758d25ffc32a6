"""Draws what each network of a method hears, sees and predicts: ``python -m benchmarks.method_figures docs/images``

One synthetic recording (and another one as noise) goes through the real objectives: their masks, their mixing. For MSM-MAE
a small network is first trained on 320 synthetic recordings, so that there is a reconstruction to look at (four minutes or so
on one core). ``--methods m2d-x …`` draws some of them. Needs the [plots] extra.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from auricle.core.options import with_values
from auricle.core.randomness import BatchKey
from auricle.data.augment.noise import log_mix
from auricle.data.batch import Batch
from auricle.data.synthetic.corpus import CLASSES, ClipRecipe, synthesise
from auricle.frontends.base import front_end
from auricle.methods.base import TrainProgress, without_noise
from auricle.methods.m2d.config import M2DConfig, M2DSConfig
from auricle.methods.m2d.objective import M2D, MaskedObjective
from auricle.methods.mae_ast.config import MAEASTPretrain
from auricle.methods.mae_ast.objective import MAEAST
from auricle.methods.msm_mae.config import MsmMaeConfig
from auricle.methods.msm_mae.objective import MsmMae
from auricle.methods.registry import preset_values
from auricle.models.m2d.config import PredictorConfig, ViTConfig
from auricle.models.masking.patches import Mask
from auricle.training.optimizers import make_optimizer

FRONT = "m2d-logmel/16k"
FRAMES, SECONDS = 208, 2.2
SOUND, NOISE = ("bird_chirp", 3), ("rain", 1)
STATS = (-7.1, 4.2)
NOISE_RATIO = 0.3
MAE_AST = dict(embed_dim=16, depth=1, num_heads=1, ffn_dim=16, decoder_embed_dim=16, decoder_depth=1)
Panel = tuple[str, np.ndarray]


def log_mel(name: str, index: int) -> Tensor:
    """(80, FRAMES) of a synthetic recording."""
    wave = torch.from_numpy(synthesise(name, index, ClipRecipe(seconds=SECONDS)))[None]
    return front_end(FRONT)(wave, torch.tensor([wave.shape[1]]))[0, :, :FRAMES]


def batch_of(clips: Sequence[Tensor], clean: Sequence[Tensor] | None = None, epoch: int = 0) -> Batch:
    return Batch(
        lengths=torch.full((len(clips),), FRAMES),
        ids=tuple(map(str, range(len(clips)))),
        rate=16000,
        spec=torch.stack(list(clips)),
        clean=None if clean is None else torch.stack(list(clean)),
        front_end=FRONT,
        epoch=epoch,
        positions=tuple(range(len(clips))),
    )


def noisy() -> Batch:
    """The recording with noise mixed in, and without it as ``clean``."""
    clean, noise = log_mel(*SOUND), log_mel(*NOISE)
    mixed = log_mix((clean - clean.mean()).numpy(), (noise - noise.mean()).numpy(), NOISE_RATIO)
    return batch_of([torch.from_numpy(mixed) + clean.mean()], [clean])


@dataclass(frozen=True)
class Seen:
    """A batch as an objective sees it: spec (F, T) normalised, and which of its cells are hidden."""

    spec: np.ndarray
    hidden: np.ndarray

    @property
    def visible_part(self) -> np.ndarray:
        return np.where(self.hidden, np.nan, self.spec)

    @property
    def hidden_part(self) -> np.ndarray:
        return np.where(self.hidden, self.spec, np.nan)


def seen(objective: MaskedObjective, batch: Batch) -> tuple[Seen, Mask]:
    patches = objective.patches(batch)
    mask = objective.mask(patches, BatchKey(0, batch.epoch, batch.positions))
    grid = mask.binary[0].unflatten(0, (objective.online.config.grid[0], -1)).numpy()
    height, width = objective.online.patch_embed.patch
    cells = grid.repeat(height, 0).repeat(width, 1) > 0
    return Seen(objective.spec(batch)[0].numpy()[:, : cells.shape[1]], cells), mask


def small(patch: str) -> tuple[ViTConfig, PredictorConfig]:
    return ViTConfig(f"80x{FRAMES}", patch, embed_dim=16, depth=1, num_heads=1), PredictorConfig(16, 1, 1)


def m2d_panels() -> list[Panel]:
    view, _ = seen(M2D(*small("16x16"), M2DConfig(), stats=STATS), batch_of([log_mel(*SOUND)]))
    return [
        ("the recording", view.spec),
        ("the encoder sees 30 %", view.visible_part),
        ("its target encoder sees the other 70 %, alone", view.hidden_part),
    ]


def m2d_d2v_panels() -> list[Panel]:
    recording, encoder, _ = m2d_panels()
    return [recording, encoder, ("its target encoder sees everything", recording[1])]


def m2d_x_panels() -> list[Panel]:
    objective, batch = M2D(*small("16x16"), M2DConfig(), stats=STATS), noisy()
    view, _ = seen(objective, batch)
    return [
        ("the encoder sees 30 % of the mixture", view.visible_part),
        ("its target encoder sees the other 70 %", view.hidden_part),
        ("the offline teacher hears the clean recording", objective.spec(without_noise(batch))[0].numpy()),
    ]


def m2d_s_panels() -> list[Panel]:
    objective, batch = M2D(*small("80x4"), M2DSConfig(), stats=STATS), noisy()
    view, _ = seen(objective, batch)
    return [
        ("the encoder sees 40 % of the mixture, in columns", view.visible_part),
        ("its target encoder sees the other 60 %", view.hidden_part),
        ("the stored features are of the clean recording", objective.spec(without_noise(batch))[0].numpy()),
    ]


def msm_mae_panels() -> list[Panel]:
    objective = trained_msm_mae()
    batch = batch_of([log_mel("sawing", 40)])
    view, mask = seen(objective, batch)
    reconstruction, error = objective.visualise(objective.spec(batch), mask)
    return [
        ("a recording that it never learnt from", view.spec),
        ("the encoder sees 25 %", view.visible_part),
        ("the rest as the predictor rebuilds it", reconstruction[0].numpy()),
        ("error", error[0].numpy()),
    ]


def trained_msm_mae(steps: int = 4000, size: int = 16) -> MsmMae:
    """A small one, trained on sixteen recordings of every class."""
    clips = [log_mel(name, index) for name in CLASSES for index in range(16)]
    sizes = ViTConfig(f"80x{FRAMES}", "16x16", embed_dim=128, depth=4, num_heads=4), PredictorConfig(96, 2, 3)
    objective = MsmMae(*sizes, MsmMaeConfig(), stats=STATS)
    optimizer = make_optimizer(objective.param_groups(0.05), "adamw", 1e-3)
    source = np.random.default_rng(0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, (step + 1) / 40) * (1 - step / steps)
        batch = batch_of([clips[i] for i in source.choice(len(clips), size, replace=False)], epoch=step)
        progress = TrainProgress(step, steps, step, steps, 0.0, 1)
        loss, _ = objective(batch, progress, BatchKey(0, step, batch.positions))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return objective.eval()


def standard(spec: Tensor) -> np.ndarray:
    """As a trained network would see it: the input's statistics are 0 and 1 before training."""
    return ((spec - spec.mean()) / spec.std()).numpy()


def mae_ast_panels() -> list[Panel]:
    """What the three published recipes leave visible."""
    panels = []
    for name, title in (
        ("patch-chunk", "chunks of patches"),
        ("frame-random", "frames"),
        ("frame-spans", "spans of frames"),
    ):
        config = with_values(MAEASTPretrain("mae-ast", "none"), {**preset_values("mae-ast", name), **MAE_AST})
        objective = MAEAST(config.model, config.objective)
        wave = torch.from_numpy(synthesise(*SOUND, ClipRecipe(seconds=5.0)))[None]
        batch = Batch(torch.tensor([wave.shape[1]]), ("0",), 16000, audio=wave, positions=(0,))
        view = objective.preview(batch, BatchKey(0, 0, (0,)))
        height, width = config.model.patch
        hidden = view.mask[0].numpy().repeat(height, 0).repeat(width, 1) > 0
        shown = np.where(hidden, np.nan, standard(view.spec[0])[:, : hidden.shape[1]])
        panels.append((f"{title}: the encoder sees {1 - hidden.mean():.0%}", shown))
    return panels


FIGURES: dict[str, Callable[[], list[Panel]]] = {
    "m2d": m2d_panels,
    "m2d-x": m2d_x_panels,
    "m2d-s": m2d_s_panels,
    "m2d-d2v": m2d_d2v_panels,
    "msm-mae": msm_mae_panels,
    "mae-ast": mae_ast_panels,
}


def draw(panels: list[Panel], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(1, len(panels), figsize=(4.2 * len(panels), 2.7), layout="constrained")
    for axes, (title, values) in zip(rows, panels):
        axes.set_facecolor("0.82")
        low, high = (0, 2) if title == "error" else (-2, 3)
        kind = "cividis" if title == "error" else "magma"
        extent = (0, values.shape[1] / 100, 0, values.shape[0])
        axes.imshow(values, origin="lower", aspect="auto", cmap=kind, vmin=low, vmax=high, extent=extent)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("seconds", fontsize=8)
        axes.tick_params(labelsize=7)
    rows[0].set_ylabel("mel bin", fontsize=8)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the images")
    parser.add_argument("--methods", nargs="*", default=tuple(FIGURES), choices=tuple(FIGURES))
    args = parser.parse_args()
    for method in args.methods:
        draw(FIGURES[method](), args.out / f"{method.replace('-', '_')}.png")


if __name__ == "__main__":
    main()
