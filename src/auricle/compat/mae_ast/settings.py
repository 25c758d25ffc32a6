"""Translate the dotted names of MAE-AST's command lines to the settings of ``auricle pretrain`` (specification mae_ast 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from auricle.compat.hydra_line import HydraLine, read_yaml, resolved
from auricle.compat.mae_ast.names import FIXED, NAMES, OTHER_GROUPS, PUBLISHED, WITHOUT_MEANING, Name
from auricle.core.errors import AuricleError, nearest
from auricle.core.options import with_values
from auricle.methods.mae_ast.config import SPANS, MAEASTObjectiveConfig, MAEASTPretrain

BUILT_IN = "mae_ast"  # config/pretrain/mae_ast.yaml
CLIP_FRAMES = 998  # of ten seconds
BATCHES = (1, 32)
NEVER_NULL = (
    "optimizer.adam_betas", "common.log_interval", "distributed_training.distributed_world_size", "model.encoder_attention_heads",
)  # fmt: skip
DRAWS = 200  # masks whose masked ratio is averaged


@dataclass(frozen=True)
class MappedLine:
    """config: the settings of the run; processes: how many run it; notes: sentences on what differs from the original."""

    config: MAEASTPretrain
    processes: int
    notes: tuple[str, ...]


def mapped(line: HydraLine) -> MappedLine:
    """Translate a line.

    Raises:
        AuricleError: for unknown names (with the nearest), invalid values, and what cannot be run here.
    """
    given = {**defaults(line), **line.values}
    for name in given:
        check_known(name)
    values = {name: _read(name, row, given) for name, row in NAMES.items()}
    check_fixed(given)
    check_choices(values)
    config = MAEASTPretrain("mae-ast", source_of(values))
    config = with_values(config, {**plain(values), **translated(values)})
    return MappedLine(config, processes(values), tuple(notes(config, given, line)))


def defaults(line: HydraLine) -> dict[str, Any]:
    """Return the values of the YAML file that the line names; of the published one if it names no folder."""
    if line.folder:
        return read_yaml(line.folder, line.name or BUILT_IN)
    if line.name not in ("", BUILT_IN):
        raise AuricleError(f"--config-name {line.name} needs --config-dir; only {BUILT_IN} is built in")
    return PUBLISHED


# ---- names and values
def check_known(name: str) -> None:
    group, _, last = name.partition(".")
    if name in NAMES or name in FIXED or group in OTHER_GROUPS or name in ignored():
        return
    if last == "_name" and group in WITHOUT_MEANING:
        return
    known = (*NAMES, *FIXED, *ignored())
    raise AuricleError(f"MAE-AST has no setting '{name}'{nearest(name, known)}")


def ignored() -> dict[str, str]:
    """Return every name that is accepted and changes nothing, with the reason."""
    return {
        f"{group}.{name}": why
        for group, whys in WITHOUT_MEANING.items()
        for why, names in whys.items()
        for name in names
    }


def _read(name: str, row: Name, given: Mapping[str, Any]) -> Any:
    """Return the value as its type; the default if it is not given; None for null."""
    if name not in given:
        return row.default
    raw = resolved(name, dict(given))
    if raw is None or raw == "???":
        if name in NEVER_NULL:
            raise AuricleError(f"{name} takes {WORDS[row.kind]}, not null")
        return None
    try:
        return READERS[row.kind](raw)
    except (ValueError, TypeError, SyntaxError, OverflowError):
        raise AuricleError(f"{name} takes {WORDS[row.kind]}, not '{raw}'") from None


def _whole(raw: Any) -> int:
    if isinstance(raw, bool) or float(raw) != int(float(raw)):
        raise ValueError(raw)
    return int(float(raw))


def _truth(raw: Any) -> bool:
    if str(raw).lower() not in TRUTHS:
        raise ValueError(raw)
    return TRUTHS[str(raw).lower()]


def _several(raw: Any) -> tuple[float, ...]:
    parts = raw if isinstance(raw, (list, tuple)) else str(raw).strip("()[] ").split(",")
    return tuple(float(part) for part in parts if str(part).strip())


TRUTHS = {"true": True, "false": False, "1": True, "0": False}
READERS: dict[type, Any] = {int: _whole, float: float, bool: _truth, str: str, tuple: _several}
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", tuple: "a list of numbers"}


def check_fixed(given: Mapping[str, Any]) -> None:
    for name, (default, allowed) in FIXED.items():
        value = resolved(name, dict(given)) if name in given else default
        if value not in allowed and str(value).lower() not in {str(one).lower() for one in allowed}:
            origin = "" if name in given else " (its default)"
            raise AuricleError(f"{name}={value}{origin} cannot be run here; {' or '.join(map(str, allowed))} can")


def check_choices(values: Mapping[str, Any]) -> None:
    choices = {field.name: field.metadata["choices"] for field in fields(MAEASTObjectiveConfig)}
    for name, row in NAMES.items():
        allowed = choices.get(row.ours)
        if allowed and values[name] not in allowed:
            raise AuricleError(f"{name}={values[name]} cannot be run here; {', '.join(allowed)} can")


# ---- settings
def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that mean the same here, by our names."""
    return {row.ours: row.none if values[name] is None else values[name] for name, row in NAMES.items() if row.ours}


def translated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are written in another way here, or follow from several names together."""
    folder = Path(values["task.data"])
    kept = values["checkpoint.keep_interval_updates"]
    return {
        **length(values),
        **tokens(values),
        "valid": None
        if values["dataset.disable_validation"]
        else _list(folder, values["dataset.valid_subset"], "valid"),
        "test": _list(folder, values["dataset.gen_subset"], "test"),
        "lr": _first(values, "optimization.lr"),
        "long_warmup": True,
        "accum_iter": int(_first(values, "optimization.update_freq")),
        "max_tokens": values["dataset.max_tokens"] or _lacking("dataset.max_tokens"),
        "keep_interval_updates": kept if kept is not None and kept > 0 else None,
        "health_interval": max(1, values["common.log_interval"]),
        "log_interval": max(1, values["common.log_interval"]),
        "resume": restored(values),
        "tensorboard": bool(values["common.tensorboard_logdir"]),
        **arithmetic(values),
    }


def source_of(values: Mapping[str, Any]) -> str:
    """Return the training list. Raises AuricleError if the folder or the list is not there."""
    folder = Path(values["task.data"] or _lacking("task.data"))
    if not folder.is_dir():
        there = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise AuricleError(f"task.data: there is no folder {folder}{nearest(folder.name, there)}")
    path = folder / f"{values['dataset.train_subset']}.tsv"
    if not path.is_file():
        there = [file.name for file in folder.glob("*.tsv")]
        raise AuricleError(f"task.data: {folder} holds no {path.name}{nearest(path.name, there)}")
    return str(path)


def _list(folder: Path, name: str | None, default: str) -> str | None:
    """Return the list of a name; None if it is the default one and absent. Raises AuricleError if another is absent."""
    path = folder / f"{name}.tsv"
    if not name or path.is_file():
        return str(path) if name else None
    if name == default:
        return None
    there = [file.stem for file in folder.glob("*.tsv")]
    raise AuricleError(f"{folder} holds no {path.name}{nearest(name, there)}; one list is taken here")


def _lacking(name: str) -> Any:
    raise AuricleError(f"set {name}=…: {NAMES[name].note or 'it has no default'}")


def _first(values: Mapping[str, Any], name: str) -> float:
    if len(values[name] or ()) > 1:
        raise AuricleError(f"{name}: one number is taken here for the whole run, not {len(values[name])}")
    return values[name][0] if values[name] else _lacking(name)


def length(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the length: max_update if given, else max_epoch. Raises AuricleError for a run without an end."""
    updates, epochs = values["optimization.max_update"] or 0, values["optimization.max_epoch"] or 0
    if updates <= 0 and epochs <= 0:
        raise AuricleError("set optimization.max_update=… or optimization.max_epoch=…: the run has no end")
    total = values["lr_scheduler.total_num_update"] or 0
    return {
        "max_updates": updates if updates > 0 else None,
        "epochs": epochs if epochs > 0 else 1,
        "schedule_updates": None if total in (0, updates) else total,
    }


def tokens(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the size of a token. Raises AuricleError if its stride differs (reconstruction needs them equal)."""
    size, stride = (
        tuple(values[f"model.ast_kernel_{what}_{axis}"] for axis in ("chan", "time")) for what in ("size", "stride")
    )
    if size != stride:
        raise AuricleError(
            f"kernel size {size} and stride {stride} must be equal: tokens that overlap cannot be reconstructed"
        )
    return {"patch_size": f"{size[0]}x{size[1]}"}


def restored(values: Mapping[str, Any]) -> str | None:
    """Return the weights to start from."""
    file = values["checkpoint.restore_file"]
    named = file if file and file != NAMES["checkpoint.restore_file"].default else None
    return values["checkpoint.finetune_from_model"] or named


def arithmetic(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return precision and device of the line; a CPU takes float32 for fp16, as the original does."""
    import torch

    gpu = torch.cuda.is_available() and not values["common.cpu"]
    half = values["common.fp16"] or values["common.memory_efficient_fp16"] or values["common.amp"]
    bfloat = values["common.bf16"] or values["common.memory_efficient_bf16"]
    precision = "bf16" if bfloat else "fp16" if half and gpu else "float32"
    return {"precision": precision, "device": "cpu" if values["common.cpu"] else "auto"}


def processes(values: Mapping[str, Any]) -> int:
    """Return the number of processes. Raises AuricleError for several machines, which one line cannot start here."""
    world, here = values["distributed_training.distributed_world_size"], values["distributed_training.nprocs_per_node"]
    if world > 1 and here is not None and here < world:
        raise AuricleError(
            f"distributed_training: {world} processes, {here} on each machine; start one machine's line with torchrun on each, "
            "or set distributed_training.distributed_world_size=1 distributed_training.nprocs_per_node=1 as the published lines"
        )
    return max(1, world)


# ---- notes
def notes(config: MAEASTPretrain, given: Mapping[str, Any], line: HydraLine) -> Iterator[str]:
    if not line.folder:
        yield "no --config-dir: the published config/pretrain/mae_ast.yaml is built in and holds the defaults"
    yield from without_effect(given)
    if given.get("common.fp16") and config.train.precision == "float32":
        yield "common.fp16: there is no GPU here, so this trains in float32"
    if config.train.max_updates and given.get("optimization.max_epoch"):
        yield "optimization.max_epoch: optimization.max_update is given too and alone ends the run"
    if not config.valid:
        yield "there is no validation list: nothing is validated"
    if config.objective.mask_type in SPANS:
        yield span_note(config)


def without_effect(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield one sentence per reason, with the names of the line and its file that change nothing here."""
    reasons: dict[str, list[str]] = {}
    for name in given:
        if name in ignored():
            reasons.setdefault(ignored()[name], []).append(name)
        elif name not in NAMES and name.partition(".")[0] in OTHER_GROUPS:
            reasons.setdefault("belongs to other tasks or to Hydra", []).append(name)
    for why, names in reasons.items():
        yield f"accepted, changes nothing ({why}): {', '.join(names)}"


def span_note(config: MAEASTPretrain) -> str:
    """Return what retain_spans does, in numbers: the published code and its text disagree (specification mae_ast 1)."""
    steps = CLIP_FRAMES // config.model.patch[1]
    ratios = " and ".join(f"{measured_ratio(config, clips):.1%} in batches of {clips}" for clips in BATCHES)
    return (
        f"task.mask_type={config.objective.mask_type} at {config.objective.random_mask_prob:g} shows the drawn spans to the "
        f"encoder and masks the rest, as the published code does: measured on clips of ten seconds ({steps} tokens), "
        f"{ratios} are masked. Its text says that spans are masked: -- --mask-type mask_spans does that"
    )


def measured_ratio(config: MAEASTPretrain, clips: int) -> float:
    """Return the mean ratio of masked tokens over drawn batches of clips of ten seconds."""
    from auricle.core.randomness import BatchKey
    from auricle.methods.mae_ast.masks import draw_mask

    grid = (config.model.rows, CLIP_FRAMES // config.model.patch[1])
    tokens, batches = grid[0] * grid[1], max(1, DRAWS // clips)
    visible = [
        draw_mask(config.objective, grid, BatchKey(config.train.seed, epoch, tuple(range(clips)))).len_keep
        for epoch in range(batches)
    ]
    return 1 - sum(visible) / (tokens * batches)
