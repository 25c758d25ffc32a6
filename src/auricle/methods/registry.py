"""The table of learning methods, and the look-ups in it. PyTorch is not imported here.

A method of your own is one more entry: ``METHODS["mine"] = Method(MyPretrain, build, open_data)``.
"""

from __future__ import annotations

from typing import Any

from auricle.core.errors import AuricleError, nearest
from auricle.core.options import from_plain
from auricle.methods.config import Method, PretrainConfig
from auricle.methods.distillation.config import DISTILLATION
from auricle.methods.m2d.config import M2D, M2D_AS, M2D_D2V, M2D_S, M2D_X
from auricle.methods.mae_ast.config import MAE_AST
from auricle.methods.msm_mae.config import MSM_MAE
from auricle.methods.supervised.config import SUPERVISED

METHODS: dict[str, Method] = {
    "m2d": M2D,
    "m2d-x": M2D_X,
    "m2d-as": M2D_AS,
    "m2d-s": M2D_S,
    "m2d-d2v": M2D_D2V,
    "msm-mae": MSM_MAE,
    "mae-ast": MAE_AST,
    "supervised": SUPERVISED,
    "distillation": DISTILLATION,
}


def methods_of(verb: str) -> dict[str, Method]:
    """Return the methods of a verb of the command line."""
    return {name: method for name, method in METHODS.items() if method.verb == verb}


def find_method(name: str) -> Method:
    """Return the method of a name.

    Raises:
        AuricleError: for an unknown name, with the nearest known one.
    """
    if name not in METHODS:
        raise AuricleError(f"unknown method '{name}'{nearest(name, tuple(METHODS))}")
    return METHODS[name]


def method_of(config: PretrainConfig) -> Method:
    """Return the method of a configuration.

    Raises:
        AuricleError: for an unknown method, and for a configuration of another method's class.
    """
    method = find_method(config.method)
    if type(config) is not method.settings:
        raise AuricleError(
            f"the settings of '{config.method}' are {method.settings.__name__}, not {type(config).__name__}"
        )
    return method


def preset_values(method: str, name: str) -> dict[str, Any]:
    """Return the values of a preset by field name, for ``core.options.with_values``.

    Raises:
        AuricleError: for an unknown method or preset.
    """
    presets = find_method(method).presets
    if not presets:
        raise AuricleError(f"{method} has no presets")
    called = "recipe" if method in ("supervised", "distillation") else "preset"  # as the command lines say
    if name not in presets:
        raise AuricleError(
            f"{method} has no {called} '{name}'{nearest(name, tuple(presets))} ({called}s: {', '.join(presets)})"
        )
    return dict(presets[name].values)


def read_settings(values: dict[str, Any], where: str) -> PretrainConfig:
    """Return the configuration that a run's config.yaml holds.

    Args:
        values: the content of the file, as ``core.options.as_plain`` wrote it, also by an earlier version.
        where: name of the file, for messages.

    Raises:
        AuricleError: if it names no method, or holds settings that the method does not have.
    """
    if "method" not in values:
        raise AuricleError(f"{where} names no method; it is not the configuration of a pre-training run")
    return from_plain(find_method(str(values["method"])).settings, values, where)
