"""Upstreams for s3prl, the program of SUPERB, by name: ``m2d``, ``m2d_calcnorm``, ``mae_ast`` and ``auricle``.

One line in ``s3prl/hub.py`` makes s3prl find them (s3prl itself is not imported here)::

    from auricle.compat.s3prl import *

    python run_downstream.py -m train -n first -u m2d -d speech_commands -k WEIGHT.pth,-11.506,4.3149
    python run_downstream.py -m train -n second -u auricle -d speech_commands -k runs/first

Every function takes ``ckpt`` (s3prl's ``-k``), ``model_config`` (``-g``: a YAML file with ``padding`` or ``updates``) and returns a
module of s3prl's contract of upstreams ([evaluation 6.1](docs/specification/evaluation.md#s6-1)).
"""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["auricle", "m2d", "m2d_calcnorm", "mae_ast"]


def m2d(ckpt: str | None = None, model_config: Any = None, **_: Any) -> nn.Module:
    """Make the upstream of an M2D encoder from ``PATH,MEAN,STD``, the statistics being those of the task's data."""
    from auricle.compat.s3prl.upstreams import M2DUpstream

    return M2DUpstream(ckpt, model_config)


def m2d_calcnorm(ckpt: str | None = None, model_config: Any = None, **_: Any) -> nn.Module:
    """Make the upstream that measures the statistics of 10,000 batches, prints them and ends the process."""
    from auricle.compat.s3prl.upstreams import M2DCalcNorm

    return M2DCalcNorm(ckpt, model_config)


def mae_ast(ckpt: str | None = None, model_config: Any = None, **_: Any) -> nn.Module:
    """Make the upstream of a MAE-AST encoder, patch or frame, from ``PATH`` or ``PATH,MEAN,STD``."""
    from auricle.compat.s3prl.upstreams import MAEASTUpstream

    return MAEASTUpstream(ckpt, model_config)


def auricle(ckpt: str | None = None, model_config: Any = None, **_: Any) -> nn.Module:
    """Make the upstream of any encoder from what ``auricle.load`` takes, or ``…,MEAN,STD``."""
    from auricle.compat.s3prl.upstreams import EncoderUpstream

    return EncoderUpstream(ckpt, model_config)
