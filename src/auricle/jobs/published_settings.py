"""A run's settings in the words of the original M2D program: for the name of its folder, and for its checkpoints."""

from __future__ import annotations

import time
from dataclasses import fields, is_dataclass
from typing import Any

from auricle.errors import AuricleError
from auricle.hub.convert.m2d_factories import factory_name, program_of
from auricle.hub.convert.m2d_options import options_of
from auricle.hub.convert.m2d_run_names import run_folder_name
from auricle.jobs.methods import PretrainConfig

PUBLISHED = "published"  # --out published


def published_settings(config: PretrainConfig) -> tuple[str, dict[str, Any]]:
    """The original's program, and its options with this run's values; options that change nothing there are left out.

    Raises AuricleError for a method that is not of the M2D family.
    """
    program = program_of(config.method)
    if program is None:
        raise AuricleError(f"the original M2D program has no method '{config.method}'")
    values = values_of(config)
    given = {
        option.name: values[option.ours]
        for option in options_of(program)
        if option.ours in values and program not in option.unused
    }
    given |= {
        "lr": values["lr"] or None,
        "csv_main": config.source,
        "patch_size": values["patch_size"],
        "sr": f"{values['sample_rate'] // 1000}k",
    }
    given["batch_size"] = values["batch_size"] or values["effective_batch"]
    given |= {"model": factory_name(config.method, values["width"], values["depth"]), **_switches(values)}
    if values["noise_ratio"]:
        given["csv_bg_noise"] = values["csv_bg_noise"]
    names = {option.name for option in options_of(program)}
    return program, {name: value for name, value in given.items() if name in names}


def _switches(values: dict[str, Any]) -> dict[str, Any]:
    norm = values["norm_targets"]
    layers = list(values.get("target_layers", ()))
    return {
        "no_norm_pix_loss": not norm,
        "norm_pix_loss": norm,
        "target_layers": str(layers) if layers else "",
        "bf16": values["precision"] == "bf16",
        "stop_at": values["stop_at"] or -1,
    }


def published_out(config: PretrainConfig, processes: int) -> str:
    """The folder that the original would make for this run, in the working directory (specification m2d 5.6)."""
    program, settings = published_settings(config)
    return run_folder_name(program, settings, date=time.strftime("%y%m%d"), processes=processes)


def values_of(config: Any) -> dict[str, Any]:
    """Every setting by name, those of nested configs too."""
    found: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        found |= values_of(value) if is_dataclass(value) else {item.name: value}
    return found
