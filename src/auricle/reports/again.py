"""The command that makes a run again: written from its settings, whatever started it (a command, ``auricle demo``, Python)."""

from __future__ import annotations

import shlex

from auricle.core.errors import AuricleError
from auricle.core.options import option_arguments, with_values
from auricle.methods.config import PretrainConfig
from auricle.methods.registry import find_method, preset_values, read_settings
from auricle.reports.run_view import RunView

PRETRAIN = "pretrain"  # the verb that takes a method
SUFFIX = "-again"  # of the new run folder: a run is never overwritten


def command_again(run: RunView) -> str:
    """Return the command that trains a run again on the same data; "" where its settings cannot be read."""
    try:
        config = read_settings(run.config, str(run.folder.config))
    except (AuricleError, TypeError):
        return ""
    command = train_command(config, f"{(config.out or str(run.path)).rstrip('/')}{SUFFIX}", run.processes)
    folder = run.environment.get("folder")
    return "".join(f"{shlex.join(line)}\n" for line in ([["cd", folder]] if folder else []) + [command]).rstrip()


def train_command(config: PretrainConfig, out: str, world: int = 1) -> list[str]:
    """Return the training command with these settings, with the preset that leaves the fewest options."""
    method = find_method(config.method)
    launch = ["torchrun", "--nproc-per-node", str(world), "-m"] if world > 1 else []
    start = [*launch, "auricle", method.verb, config.source]
    start += ["--method", config.method] if method.verb == PRETRAIN else []
    plain = method.settings(config.method, config.source)
    ways = [[*start, *_options(config, plain, out)]]
    for name in method.presets:
        base = with_values(plain, preset_values(config.method, name))
        named = "--preset" if method.verb == "pretrain" else "--recipe"
        ways.append([*start, named, name, *_options(config, base, out)])
    return min(ways, key=len)


def _options(config: PretrainConfig, base: PretrainConfig, out: str) -> list[str]:
    """Options for what differs. A length stands with its warm-up, since the command line would shorten a default one."""
    options = option_arguments(config, with_values(base, {"out": config.out}))
    train, updates = config.train, "--warmup-updates"
    by_updates = train.max_updates is not None or train.schedule == "polynomial"
    if {"--epochs", "--max-updates"} & set(options) and by_updates and updates not in options:
        options += [updates, str(train.warmup_updates)]
    return [*options, "--out", out]
