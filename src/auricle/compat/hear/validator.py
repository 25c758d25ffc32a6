"""Check a HEAR module as HEAR's own validator does: ``python -m auricle.compat.hear.validator MODULE -m WEIGHTS``.

Source: [evaluation 7.2](docs/specification/evaluation.md#s7-2), the checks of the repository's head, which accepts 32000 Hz too.
The published validator wants TensorFlow installed; this one does not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from auricle.compat.hear.encoder import RATES
from auricle.core.errors import AuricleError, first_line

FUNCTIONS = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")
SIZES = ("sample_rate", "scene_embedding_size", "timestamp_embedding_size")
TIMESTAMP_SECONDS = (1.07, 1.98, 4.0)
SCENE_SECONDS = 2.74
MOST_STEP_MS = 50.0
JITTER_MS = 1.0


def validate(module: ModuleType | str, model_file_path: Any = "", device: str = "cpu") -> list[str]:
    """Check a module.

    Args:
        module: The module, or its name.
        model_file_path: What its ``load_model`` takes; "" for nothing.
        device: Device of the model and the audio.

    Returns:
        Warnings: what HEAR allows and advises against.

    Raises:
        AuricleError: A check fails; the message names it.

    Example:
        validate("auricle.compat.hear.encoder", "mn04_as")
    """
    own = _called(f"importing {module}", import_module, module) if isinstance(module, str) else module
    for name in FUNCTIONS:
        _require(callable(getattr(own, name, None)), f"{own.__name__} has no function {name}")
    model = _called("load_model", own.load_model, *([model_file_path] if model_file_path else []))
    _require(
        isinstance(model, torch.nn.Module), f"load_model should return a torch.nn.Module, got {type(model).__name__}"
    )
    for name in SIZES:
        value = getattr(model, name, None)
        _require(type(value) is int, f"the model's {name} should be a whole number, found {value!r}")
    _require(model.sample_rate in RATES, f"the sample rate should be one of {RATES}, found {model.sample_rate}")
    model = model.to(device)
    warnings = []
    for seconds in TIMESTAMP_SECONDS:
        audio = _noise(2, seconds, model.sample_rate, device)
        pair = _called("get_timestamp_embeddings", own.get_timestamp_embeddings, audio, model)
        _require(
            isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(part, Tensor) for part in pair),
            f"get_timestamp_embeddings should return two tensors, embeddings and timestamps, got {type(pair).__name__}",
        )
        found, times = pair
        warnings += _check_timestamps(found, times, model, seconds)
    audio = _noise(4, SCENE_SECONDS, model.sample_rate, device)
    scenes = _called("get_scene_embeddings", own.get_scene_embeddings, audio, model)
    _check_embeddings("scene embeddings", scenes, (4, model.scene_embedding_size))
    return list(dict.fromkeys(warnings))


def _noise(clips: int, seconds: float, rate: int, device: str) -> Tensor:
    """Uniform noise in [-1, 1], (clips, S)."""
    source = torch.Generator().manual_seed(0)
    return (2 * torch.rand(clips, int(seconds * rate), generator=source) - 1).to(device)


def _check_timestamps(found: Tensor, times: Tensor, model: Any, seconds: float) -> list[str]:
    _check_embeddings("timestamp embeddings", found, (2, None, model.timestamp_embedding_size))
    _require(
        times.shape == found.shape[:2],
        f"timestamps should have the shape {tuple(found.shape[:2])}, got {tuple(times.shape)}",
    )
    _require(found.shape[1] > 0, f"{seconds} s give no timestamp embedding")
    stamps = times.double().cpu()
    warnings = []
    if stamps.shape[1] > 1:
        steps = stamps.diff(dim=1)
        jitter = float((steps - steps.mean(1, keepdim=True)).abs().max())
        _require(jitter <= JITTER_MS, f"timestamps are irregular: a step differs by {jitter:.2f} ms from the mean")
        step = float(steps.mean())
        if step > MOST_STEP_MS:
            warnings.append(f"timestamps are {step:.1f} ms apart; HEAR advises {MOST_STEP_MS:g} ms or less")
        if float(stamps[:, 0].max()) > step:
            warnings.append("the first timestamp is later than one step")
        if 1e3 * seconds - float(stamps[:, -1].min()) > max(step, MOST_STEP_MS) + JITTER_MS:
            warnings.append("the last timestamp is more than a step before the end")
    _require(
        float(stamps.max()) <= 1e3 * seconds,
        f"a timestamp of {float(stamps.max()):.0f} ms is behind the end of the clip",
    )
    return warnings


def _check_embeddings(what: str, found: Any, shape: tuple[int | None, ...]) -> None:
    _require(isinstance(found, Tensor), f"{what} should be a tensor, got {type(found).__name__}")
    _require(found.dtype == torch.float32, f"{what} should be float32, got {found.dtype}")
    fits = found.ndim == len(shape) and all(want in (None, size) for want, size in zip(shape, found.shape))
    _require(fits, f"{what} should have the shape {shape}, got {tuple(found.shape)}")
    _require(bool(torch.isfinite(found).all()), f"{what} hold NaN or infinity")


def _called(what: str, function: Callable[..., Any], *values: Any) -> Any:
    """What a function of the module returns. Raises AuricleError with the error that it ended in."""
    try:
        return function(*values)
    except AuricleError:
        raise
    except (Exception, SystemExit) as error:
        raise AuricleError(f"not a HEAR module: {what} ended in {type(error).__name__}: {first_line(error)}") from error


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AuricleError(f"not a HEAR module: {message}")


def main() -> int:
    """Validate the module that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m auricle.compat.hear.validator", description=__doc__)
    parser.add_argument("module", help="name of the module, such as auricle.compat.hear.mn04_as")
    parser.add_argument("-m", "--model", default="", help="weights that its load_model takes")
    parser.add_argument("-d", "--device", default="cpu")
    args = parser.parse_args()
    try:
        warnings = validate(args.module, args.model, args.device)
    except AuricleError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(["every check of HEAR passes", *(f"warning: {text}" for text in warnings)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
