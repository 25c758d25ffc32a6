"""Small MAE-AST runs for tests: tones of different lengths as TSV lists, a network of width 16."""

from __future__ import annotations

from pathlib import Path

from auricle.core.options import with_values
from auricle.methods.mae_ast.config import MAEASTPretrain
from helpers.sounds import tone, write_sound

SMALL = dict(
    embed_dim=16, depth=2, num_heads=2, ffn_dim=32, decoder_embed_dim=16, decoder_depth=1, max_token_length=512,
    encoder_layerdrop=0.0, max_updates=6, warmup_updates=2, max_tokens=40000, min_sample_size=4000, lr=1e-3,
    log_interval=1, health_interval=3, save_interval_updates=0, validate_interval=0, validate_interval_updates=0,
    workers=0, precision="float32", device="cpu",
)  # fmt: skip


def lists(folder: Path, train: int = 12, valid: int = 4, test: int = 0, longer: float = 0.04) -> Path:
    """A folder with train.tsv (and valid.tsv, test.tsv) over flac files of 0.5 s, each ``longer`` than the last."""
    for name, count in (("train", train), ("valid", valid), ("test", test)):
        rows = []
        for i in range(count):
            wave = tone(0.5 + longer * i, hertz=200 + 60 * i, seed=i)
            write_sound(folder / "audio" / name / f"{i}.flac", wave)
            rows.append(f"{name}/{i}.flac\t{len(wave)}\n")
        if rows:
            (folder / f"{name}.tsv").write_text(f"audio\n{''.join(rows)}")
    return folder


def config(source: Path, out: Path, **changes) -> MAEASTPretrain:
    """A run of seconds."""
    return with_values(MAEASTPretrain("mae-ast", str(source), str(out)), {**SMALL, **changes})


def flags(source: Path, out: Path, **changes) -> list[str]:
    """The same as a command line."""
    words = ["pretrain", str(source), "--method", "mae-ast", "--out", str(out)]
    for name, value in {**SMALL, **changes}.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words
