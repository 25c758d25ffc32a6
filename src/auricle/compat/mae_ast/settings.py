"""Translate the dotted names of MAE-AST's command lines to the settings of ``auricle pretrain``.

Source: [mae_ast 2](docs/specification/mae_ast.md#s2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from auricle.compat.lines import HydraLine, read_yaml, resolve_reference
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
DRAWS = 200  # number of masks that the ratio is averaged over


@dataclass(frozen=True)
class MappedLine:
    """A translated line.

    Attributes:
        config: settings of the run.
        processes: number of processes.
        notes: differences from the original, one sentence each.
    """

    config: MAEASTPretrain
    processes: int
    notes: tuple[str, ...]


def map_line(line: HydraLine) -> MappedLine:
    """Translate a line.

    Raises:
        AuricleError: for unknown names (the message suggests similar ones), invalid values and unsupported settings.
    """
    settings = {**defaults(line), **line.values}
    for name in settings:
        check_known(name)
    values = {name: _read(name, row, settings) for name, row in NAMES.items()}
    check_fixed(settings)
    check_choices(values)
    config = MAEASTPretrain("mae-ast", source_of(values))
    config = with_values(config, {**same_settings(values), **translated_settings(values)})
    return MappedLine(config, processes(values), tuple(notes(config, settings, line)))


def defaults(line: HydraLine) -> dict[str, Any]:
    """Return the values of the YAML file of the line; without a folder, of the published file."""
    if line.folder:
        return read_yaml(line.folder, line.name or BUILT_IN)
    if line.name not in ("", BUILT_IN):
        raise AuricleError(f"--config-name {line.name} needs --config-dir; only {BUILT_IN} is built in")
    return PUBLISHED


# ---- names and values
def check_known(name: str) -> None:
    """Raise AuricleError, with similar names, for an unknown name."""
    group, _, last = name.partition(".")
    if name in NAMES or name in FIXED or group in OTHER_GROUPS or name in ignored():
        return
    if last == "_name" and group in WITHOUT_MEANING:
        return
    known = (*NAMES, *FIXED, *ignored())
    raise AuricleError(f"MAE-AST has no setting '{name}'{nearest(name, known)}")


def ignored() -> dict[str, str]:
    """Return every name that is accepted and has no effect, with the reason."""
    return {
        f"{group}.{name}": reason
        for group, by_reason in WITHOUT_MEANING.items()
        for reason, names in by_reason.items()
        for name in names
    }


def _read(name: str, row: Name, settings: Mapping[str, Any]) -> Any:
    """Return the value of a setting in its type; the default if it is not set; None for null."""
    if name not in settings:
        return row.default
    raw = resolve_reference(name, dict(settings))
    if raw is None or raw == "???":
        if name in NEVER_NULL:
            raise AuricleError(f"{name} takes {EXPECTED[row.kind]}, not null")
        return None
    try:
        return READERS[row.kind](raw)
    except (ValueError, TypeError, SyntaxError, OverflowError):
        raise AuricleError(f"{name} takes {EXPECTED[row.kind]}, not '{raw}'") from None


def _integer(raw: Any) -> int:
    if isinstance(raw, bool) or float(raw) != int(float(raw)):
        raise ValueError(raw)
    return int(float(raw))


def _boolean(raw: Any) -> bool:
    if str(raw).lower() not in BOOLEANS:
        raise ValueError(raw)
    return BOOLEANS[str(raw).lower()]


def _float_tuple(raw: Any) -> tuple[float, ...]:
    parts = raw if isinstance(raw, (list, tuple)) else str(raw).strip("()[] ").split(",")
    return tuple(float(part) for part in parts if str(part).strip())


BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
READERS: dict[type, Any] = {int: _integer, float: float, bool: _boolean, str: str, tuple: _float_tuple}
EXPECTED = {int: "an integer", float: "a number", bool: "true or false", str: "text", tuple: "a list of numbers"}


def check_fixed(settings: Mapping[str, Any]) -> None:
    """Raise AuricleError for a setting that has an unsupported value."""
    for name, (default, allowed) in FIXED.items():
        value = resolve_reference(name, dict(settings)) if name in settings else default
        if value not in allowed and str(value).lower() not in {str(one).lower() for one in allowed}:
            origin = "" if name in settings else " (its default)"
            raise AuricleError(f"{name}={value}{origin} is not supported; supported: {', '.join(map(str, allowed))}")


def check_choices(values: Mapping[str, Any]) -> None:
    """Raise AuricleError for a value that is not one of the choices of Auricle's setting."""
    choices = {field.name: field.metadata["choices"] for field in fields(MAEASTObjectiveConfig)}
    for name, row in NAMES.items():
        allowed = choices.get(row.ours)
        if allowed and values[name] not in allowed:
            raise AuricleError(f"{name}={values[name]} is not supported; supported: {', '.join(allowed)}")


# ---- settings
def same_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that have the same meaning in Auricle, by Auricle's names."""
    return {row.ours: row.none if values[name] is None else values[name] for name, row in NAMES.items() if row.ours}


def translated_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that have another form in Auricle, or depend on several names."""
    folder = Path(values["task.data"])
    keep = values["checkpoint.keep_interval_updates"]
    return {
        **run_length(values),
        **token_size(values),
        "valid": None
        if values["dataset.disable_validation"]
        else _list(folder, values["dataset.valid_subset"], "valid"),
        "test": _list(folder, values["dataset.gen_subset"], "test"),
        "lr": _first(values, "optimization.lr"),
        "long_warmup": True,
        "accum_iter": int(_first(values, "optimization.update_freq")),
        "max_tokens": values["dataset.max_tokens"] or _missing("dataset.max_tokens"),
        "keep_interval_updates": keep if keep is not None and keep > 0 else None,
        "health_interval": max(1, values["common.log_interval"]),
        "log_interval": max(1, values["common.log_interval"]),
        "resume": initial_weights(values),
        "tensorboard": bool(values["common.tensorboard_logdir"]),
        **precision_and_device(values),
    }


def source_of(values: Mapping[str, Any]) -> str:
    """Return the training list. Raise AuricleError if the folder or the list does not exist."""
    folder = Path(values["task.data"] or _missing("task.data"))
    if not folder.is_dir():
        existing = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise AuricleError(f"task.data: there is no folder {folder}{nearest(folder.name, existing)}")
    path = folder / f"{values['dataset.train_subset']}.tsv"
    if not path.is_file():
        existing = [file.name for file in folder.glob("*.tsv")]
        raise AuricleError(f"task.data: {folder} holds no {path.name}{nearest(path.name, existing)}")
    return str(path)


def _list(folder: Path, name: str | None, default: str) -> str | None:
    """Return the path of a list; None if the default list does not exist. Raise AuricleError if another does not."""
    path = folder / f"{name}.tsv"
    if not name or path.is_file():
        return str(path) if name else None
    if name == default:
        return None
    existing = [file.stem for file in folder.glob("*.tsv")]
    raise AuricleError(f"{folder} holds no {path.name}{nearest(name, existing)}; only one list is supported")


def _missing(name: str) -> Any:
    raise AuricleError(f"set {name}=…: {NAMES[name].note or 'it has no default'}")


def _first(values: Mapping[str, Any], name: str) -> float:
    if len(values[name] or ()) > 1:
        raise AuricleError(f"{name}: Auricle supports one number for the whole run, not {len(values[name])}")
    return values[name][0] if values[name] else _missing(name)


def run_length(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the length of the run: max_update if set, else max_epoch. Raise AuricleError if neither is set."""
    updates, epochs = values["optimization.max_update"] or 0, values["optimization.max_epoch"] or 0
    if updates <= 0 and epochs <= 0:
        raise AuricleError("set optimization.max_update=… or optimization.max_epoch=…: the run has no end")
    total = values["lr_scheduler.total_num_update"] or 0
    return {
        "max_updates": updates if updates > 0 else None,
        "epochs": epochs if epochs > 0 else 1,
        "schedule_updates": None if total in (0, updates) else total,
    }


def token_size(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the size of a token. Raise AuricleError if the stride differs, because reconstruction needs them equal."""
    size, stride = (
        tuple(values[f"model.ast_kernel_{what}_{axis}"] for axis in ("chan", "time")) for what in ("size", "stride")
    )
    if size != stride:
        raise AuricleError(
            f"kernel size {size} and stride {stride} must be equal: tokens that overlap cannot be reconstructed"
        )
    return {"patch_size": f"{size[0]}x{size[1]}"}


def initial_weights(values: Mapping[str, Any]) -> str | None:
    """Return the file of the weights to start from; None without one."""
    file = values["checkpoint.restore_file"]
    named = file if file and file != NAMES["checkpoint.restore_file"].default else None
    return values["checkpoint.finetune_from_model"] or named


def precision_and_device(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return precision and device of the line; a CPU uses float32 for fp16, as the original does."""
    import torch

    gpu = torch.cuda.is_available() and not values["common.cpu"]
    half = values["common.fp16"] or values["common.memory_efficient_fp16"] or values["common.amp"]
    bfloat = values["common.bf16"] or values["common.memory_efficient_bf16"]
    precision = "bf16" if bfloat else "fp16" if half and gpu else "float32"
    return {"precision": precision, "device": "cpu" if values["common.cpu"] else "auto"}


def processes(values: Mapping[str, Any]) -> int:
    """Return the number of processes. Raise AuricleError for several machines, which one line cannot start."""
    world, local = values["distributed_training.distributed_world_size"], values["distributed_training.nprocs_per_node"]
    if world > 1 and local is not None and local < world:
        raise AuricleError(
            f"distributed_training: {world} processes, {local} on each machine; start one machine's line with torchrun on each, "
            "or set distributed_training.distributed_world_size=1 distributed_training.nprocs_per_node=1 as the published lines"
        )
    return max(1, world)


# ---- notes
def notes(config: MAEASTPretrain, settings: Mapping[str, Any], line: HydraLine) -> Iterator[str]:
    """Yield one sentence for every difference from the original."""
    if not line.folder:
        yield "no --config-dir: the published config/pretrain/mae_ast.yaml is built in and sets the defaults"
    yield from without_effect(settings)
    if settings.get("common.fp16") and config.train.precision == "float32":
        yield "common.fp16: there is no GPU, so the run uses float32"
    if config.train.max_updates and settings.get("optimization.max_epoch"):
        yield "optimization.max_epoch: optimization.max_update is set too and ends the run"
    if not config.valid:
        yield "there is no validation list, so there is no validation"
    if config.objective.mask_type in SPANS:
        yield span_note(config)


def without_effect(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield one sentence per reason, with the settings of the line that have no effect."""
    reasons: dict[str, list[str]] = {}
    for name in settings:
        if name in ignored():
            reasons.setdefault(ignored()[name], []).append(name)
        elif name not in NAMES and name.partition(".")[0] in OTHER_GROUPS:
            reasons.setdefault("belongs to other tasks or to Hydra", []).append(name)
    for reason, names in reasons.items():
        yield f"accepted, has no effect ({reason}): {', '.join(names)}"


def span_note(config: MAEASTPretrain) -> str:
    """Describe the effect of retain_spans: the published code and paper disagree.

    Source: [mae_ast 1](docs/specification/mae_ast.md#s1).
    """
    steps = CLIP_FRAMES // config.model.patch[1]
    ratios = " and ".join(f"{measured_ratio(config, clips):.1%} in batches of {clips}" for clips in BATCHES)
    return (
        f"task.mask_type={config.objective.mask_type} at {config.objective.random_mask_prob:g} keeps the drawn spans "
        f"visible and masks the rest, as the published code does: on clips of ten seconds ({steps} tokens), "
        f"{ratios} are masked. According to the paper, the spans are masked; use -- --mask-type mask_spans for that"
    )


def measured_ratio(config: MAEASTPretrain, clips: int) -> float:
    """Return the mean ratio of masked tokens over random batches of clips of ten seconds."""
    from auricle.core.randomness import BatchKey
    from auricle.methods.mae_ast.masks import draw_mask

    grid = (config.model.rows, CLIP_FRAMES // config.model.patch[1])
    tokens, batches = grid[0] * grid[1], max(1, DRAWS // clips)
    visible = [
        draw_mask(config.objective, grid, BatchKey(config.train.seed, epoch, tuple(range(clips)))).len_keep
        for epoch in range(batches)
    ]
    return 1 - sum(visible) / (tokens * batches)
