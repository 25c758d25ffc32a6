"""Facts of a run: key figures, training data with coverage, configuration, environment, and the command that makes it
again, whatever started it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from auricle.core.console import duration
from auricle.core.errors import AuricleError
from auricle.core.options import option_arguments, with_values
from auricle.methods.config import PretrainConfig
from auricle.methods.registry import find_method, preset_values, read_settings
from auricle.reports.drawing.html import compact, count, details, measure_of, section, subsection, table, text
from auricle.reports.run_view import RunView, main_evaluation
from auricle.reports.snapshot import training_facts

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


def tiles(runs: Sequence[RunView]) -> str:
    """Return the key figures at the top of the page, of every run."""
    tasks = [e.task_identity for run in runs if (e := main_evaluation(run.evaluations))]
    several = any(task.differences(tasks[0]) for task in tasks)
    columns = [{name: (value, more) for name, value, more in _tiles(run, several) if value} for run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    items = [
        _tile(name, [(run.name, *column.get(name, ("–", ""))) for run, column in zip(runs, columns)]) for name in names
    ]
    return f'<dl class="tiles">{"".join(items)}</dl>' if items else ""


def _tile(name: str, values: Sequence[tuple[str, str, str]]) -> str:
    """One figure of every run; what all runs share is written once."""
    if len({value[1:] for value in values}) == 1:
        values = [("", *values[0][1:])]
    cells = [
        f"<dd>{f'<span>{text(run)}</span>' if run else ''}{value}<small>{text(more)}</small></dd>"
        for run, value, more in values
    ]
    return f"<div><dt>{text(name)}</dt>{''.join(cells)}</div>"


def _tiles(run: RunView, several_tasks: bool) -> Iterator[tuple[str, str, str]]:
    """Name, value and unit of each figure; where the runs were measured on several tasks, these are told apart."""
    facts = facts_of(run)
    seconds = facts.get("seconds")
    name = "trained on" if "failed" in facts else "its source holds"
    yield name, count(facts["clips"]) if facts else "", "clips" + (f", {duration(seconds)}" if seconds else "")
    architecture = run.encoder.get("architecture", {})
    architecture = {**architecture, **architecture.get("config", {})}
    named = (("depth", "{} blocks"), ("embed_dim", "{} wide"), ("width", "width {}"))  # width: a MobileNet's factor
    sizes = [what.format(architecture[k]) for k, what in named if k in architecture]
    yield "encoder", _millions(run.parameters), ": ".join(["parameters", *([", ".join(sizes)] if sizes else [])])
    epochs, unit = run.length.split()
    yield "training", epochs if run.epochs else "", f"{unit}, {count(run.updates)} updates"
    evaluation = main_evaluation(run.evaluations)
    if evaluation:
        reached = measure_of(evaluation.metric).value(evaluation.score.score)
        of = f" ({evaluation.coverage.tested} clips, {evaluation.task_identity.fingerprint[:6]})" * several_tasks
        yield evaluation.task + of, reached, f"{evaluation.metric}, {evaluation.protocol}"


def _millions(parameters: int) -> str:
    if not parameters:
        return ""
    return f"{parameters / 1e6:.1f} M" if parameters >= 1e5 else count(parameters)


def facts_of(run: RunView) -> dict[str, Any]:
    """Return the facts of the training data that the run kept; else those of its source, without "failed"; else {}.

    The source of a run that learns from labels holds its validation and test part too.
    """
    if run.snapshot is not None and run.snapshot.facts:
        return run.snapshot.facts
    import warnings

    from auricle.data.manifest.formats import read_manifest

    source, data = run.config.get("source"), run.part("data")
    labels: dict[str, Any] = {name: data.get(name) for name in ("labels", "label_column", "classes")}
    if not source or not Path(source).exists():
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            facts = training_facts(read_manifest(source, **labels))
    except (AuricleError, OSError):
        return {}
    return {name: value for name, value in facts.items() if name != "failed"}


def data_section(run: RunView) -> str:
    """Return the section on the training data."""
    facts, info = facts_of(run), run.encoder.get("info", {})
    rows: list[tuple[str, object]] = [("source", run.config.get("source"))]
    if facts:
        kept = "failed" in facts
        rows += [("clips" if kept else "clips in the source", count(facts["clips"])), ("sound", _sound(facts))]
        rows += [("coverage", _coverage(facts))] if kept else []
        rows += [("classes in its labels", facts["classes"] or "none: it is unlabelled")]
    rows += [
        ("front end", info.get("front_end")),
        ("sample rate", f"{count(info['sample_rate'])} Hz" if info else None),
    ]
    crop = run.part("model").get("input_size")
    rows += [("one training crop", f"{crop} (mel bins × frames)" if crop else None), ("noise mixed in", _noise(run))]
    shown = [(text(name), text(value)) for name, value in rows if value not in (None, "")]
    return section("data", "What it was trained on", table(("", ""), shown, kind="facts")) if len(shown) > 1 else ""


def _sound(facts: dict[str, Any]) -> str | None:
    seconds = facts.get("seconds")
    return (
        None if seconds is None else f"{duration(seconds)}, {seconds / max(1, facts['clips']):.3g} s a clip on average"
    )


def _coverage(facts: dict[str, Any]) -> str:
    failed = facts["failed"]
    if not failed:
        return "every clip could be read"
    return f"{count(failed)} clip{'s' * (failed != 1)} could not be read and others replaced them"


def _noise(run: RunView) -> str | None:
    data = run.part("data")
    ratio = data.get("noise_ratio", 0.0)
    return f"{compact(ratio)} of the energy, from {data['csv_bg_noise']}" if ratio else None


AGAIN = (
    "The first command makes the run again: the same settings, written out, on the same data, into a new folder. On the same "
    "machine and versions the numbers are the same to the last digit."
)
CHANGED = "Settings were changed while this run was continued (--allow), so no single command makes it again."


def recipe_section(runs: Sequence[RunView]) -> str:
    """Return the section on the commands, settings that differ between runs, whole configuration, environment."""
    body = _differences(runs)
    for run in runs:
        title = f"Make {run.name} again" if len(runs) > 1 else ""
        config = f"<pre>{text(yaml.safe_dump(run.config, sort_keys=False).strip())}</pre>"
        machine = [(text(k), text(v)) for k, v in run.environment.items() if v is not None]
        folded = details("As it was typed", f"<pre>{text(run.commands)}</pre>") if run.commands else ""
        folded += details("Configuration", config)
        folded += details("Environment", table(("", ""), machine, kind="facts")) if machine else ""
        body += subsection(title, _again(run) + folded) if title else _again(run) + folded
    return section("again", "The command that makes it again", body, AGAIN)


def _again(run: RunView) -> str:
    command = command_again(run)
    note = f'<p class="small">{CHANGED}</p>' if "--allow" in run.commands else ""
    return note + (f'<pre class="command">{text(command)}</pre>' if command else "")


def _differences(runs: Sequence[RunView]) -> str:
    if len(runs) < 2:
        return ""
    flat = [dict(_flat(run.config)) for run in runs]
    names = [name for name in dict.fromkeys(k for f in flat for k in f) if len({str(f.get(name)) for f in flat}) > 1]
    rows = [[f"<code>{text(name)}</code>", *(text(f.get(name, "–")) for f in flat)] for name in names if name != "out"]
    return subsection("Settings that differ", table(("setting", *(text(r.name) for r in runs)), rows) if rows else "")


def _flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + str(key), value
