"""The forms of the MAE-AST step that ``benchmarks.pretrain_step_mae_ast`` compares, each served by a process of its own.

As ``benchmarks.pretrain_forms``: ``step N`` takes a training step and says what it cost, ``end`` says the peak memory and
the operations of a step.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace

import torch

from auricle.core.devices import tune_allocator
from auricle.core.options import with_values
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.hub.convert.mae_ast import to_ours
from auricle.methods.mae_ast.config import MAEASTPretrain
from auricle.methods.mae_ast.masks import draw_mask
from auricle.methods.mae_ast.objective import MAEAST
from auricle.methods.registry import preset_values
from auricle.models.masking.patches import Mask
from auricle.training.optimizers import TrainingLength, rate_at
from benchmarks.plain import mae_ast_plain
from benchmarks.pretrain_forms import Step, common_arguments, matmul_form, serve, trainer_of

PLAIN = {"patch-chunk": "patch", "frame-random": "frame"}
RATE = 16000
UNUSED = ("enc_sine_pos_embed.pe", "dec_sine_pos_embed.pe")  # ours are computed


class Task:
    """What all forms train on: initial weights, and by step number inputs, masks, learning rate.

    Dropout is the published one in every form; no layer is dropped, so that the work is the same in every step.
    """

    def __init__(self, args: argparse.Namespace):
        self.args, self.device, self.batch = args, args.device, args.batch
        config = with_values(MAEASTPretrain("mae-ast", "noise"), preset_values("mae-ast", args.preset))
        self.model = replace(
            config.model, depth=args.depth, embed_dim=args.width, decoder_embed_dim=args.width, num_heads=max(1, args.width // 64),
            ffn_dim=4 * args.width, encoder_layerdrop=0.0, max_token_length=4096,
        )  # fmt: skip
        self.objective = config.objective
        self.config = replace(config.train, precision="bf16", batch_size=args.batch, compile=args.compile)
        self.plan = TrainingLength.of(self.config.max_updates, self.config)
        self.frames = 1 + (int(args.seconds * RATE) - 400) // 160
        self.folder = tempfile.TemporaryDirectory()  # of the run; goes with the process

    def plain(self) -> mae_ast_plain.MaeAst:
        """The plain model with its initial weights: the same ones in every process."""
        torch.manual_seed(0)
        model = self.model
        return mae_ast_plain.MaeAst(
            PLAIN[self.args.preset], model.depth, model.embed_dim, model.ffn_dim, model.num_heads, model.decoder_depth
        )

    def values(self, step: int) -> torch.Tensor:
        """(B, 128, T) raw log-mel, random, of the usual level and spread ([mae_ast 7](docs/specification/mae_ast.md#s7))."""
        generator = torch.Generator().manual_seed(step)
        return -6.0 + 4.5 * torch.randn(self.batch, self.model.n_mels, self.frames, generator=generator)

    def key(self, step: int) -> BatchKey:
        return BatchKey(self.config.seed, step, tuple(range(self.batch)))

    def mask(self, step: int) -> Mask:
        return draw_mask(self.objective, (self.model.rows, self.frames // self.model.patch[1]), self.key(step))

    def rate(self, step: int) -> float:
        return rate_at(self.plan.at(step), self.config, self.config.lr)


def plain_form(task: Task, autocast: torch.dtype | None) -> Step:
    """The step of plain/mae_ast_plain.py; on a GPU its float32 matrix products are TF32."""
    torch.set_float32_matmul_precision("high" if task.device == "cuda" else "highest")
    model = task.plain().to(task.device).train()
    optimizer = mae_ast_plain.Adam(model.parameters())

    def step(number: int) -> float:
        mask = task.mask(number).to(task.device)
        fbank = task.values(number).transpose(1, 2).contiguous().to(task.device)
        given = (fbank, mask.visible, mask.hidden, task.rate(number), task.config.clip_grad, autocast)
        return mae_ast_plain.train_step(model, optimizer, *given)[0]

    return step


def auricle_form(task: Task) -> Step:
    """Auricle's own objective in its own loop: ``Trainer.train_batch``, and all that a run of ours sets up."""
    tune_allocator()
    objective = MAEAST(task.model, task.objective)
    weights = {name: value for name, value in task.plain().state_dict().items() if name not in UNUSED}
    objective.online.load_state_dict({**to_ours(weights), "norm_stats": objective.online.norm_stats})
    trainer = trainer_of(objective, task)

    def step(number: int) -> float:
        batch = Batch(
            lengths=torch.full((task.batch,), task.frames),
            ids=tuple(map(str, range(task.batch))),
            rate=RATE,
            spec=task.values(number),
            front_end=objective.online.info.front_end,
            epoch=number,
            positions=tuple(range(task.batch)),
        )
        done = trainer.train_batch(batch, task.plan.at(number))
        assert done is not None
        return float(torch.log(torch.tensor(2.0)) * done["loss"])  # nats, as the plain form says it

    return step


FORMS: dict[str, Callable[[Task], Step]] = {
    "plain float32": lambda task: plain_form(task, None),
    "plain bf16": lambda task: plain_form(task, torch.bfloat16),
    "auricle": auricle_form,
    "matmul": matmul_form,  # type: ignore[dict-item]  # it reads nothing but the device
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that both sides of the pipe know."""
    parser.add_argument("--preset", default="patch-chunk", choices=tuple(PLAIN), help="tokens and masks")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip")
    parser.add_argument("--depth", type=int, default=12, help="layers of the encoder")
    parser.add_argument("--width", type=int, default=768, help="width of the networks")
    common_arguments(parser, batch=4, rounds=20)


if __name__ == "__main__":
    serve(FORMS, Task, add_arguments)
