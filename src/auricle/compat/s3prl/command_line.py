"""Run SUPERB's command lines without s3prl: ``auricle original superb run_downstream.py -m train -n NAME -u m2d -d TASK …``.

``run_downstream.py`` trains our own heads (``evaluation.suites.superb``) and leaves ``result/downstream/NAME/dev-best.ckpt``, which
``-m evaluate -e FILE`` tests again. ``ks.sh`` … ``er.sh`` are M2D's scripts; after ``--`` stand options for their training lines:
``ks.sh 0 m2d W.pth 7 -- -o config.runner.total_steps=100``. ``norm -d TASK`` (or ``-u m2d_calcnorm``) measures a task's statistics.
The data are those of the suite ``superb``: in ``data``, or the folder that ``AURICLE_DATASETS`` names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.compat.lines import parse_shell_line, split_at_dashes
from auricle.compat.s3prl.lines import NORM, RUN, SCRIPTS, DownstreamLine, parse_downstream, script_lines
from auricle.core.errors import AuricleError, nearest
from auricle.core.io import make_folder, write_text

if TYPE_CHECKING:
    from auricle.evaluation.splits import Split
    from auricle.evaluation.suites.superb.clips import TaskClips
    from auricle.evaluation.suites.superb.scoring import Prepared

BEST = "dev-best.ckpt"
SCORES = "scores.json"
PROGRAMS = (RUN, NORM, *SCRIPTS)
UPDATES = 10000


def run(line: Sequence[str], *, change: Any = None) -> int:
    """Run one command line and return its exit status.

    Args:
        line: The arguments after ``auricle original superb``.
        change: Not used: options after ``--`` are those of ``run_downstream.py``.

    Raises:
        AuricleError: For unknown programs and options, missing data and weights.
    """
    args, extra = split_at_dashes(line)
    shell = parse_shell_line(args)
    if shell.script not in PROGRAMS:
        problem = f"unknown script '{shell.script}'" if shell.script else "name a script"
        raise AuricleError(f"{problem}{nearest(shell.script, PROGRAMS)}; {', '.join(PROGRAMS)} run")
    os.environ.update(shell.environment)  # before PyTorch is loaded, which reads them
    if shell.script in SCRIPTS:
        lines = [parse_downstream(each) for each in script_lines(shell.script, shell.args, extra)]
        return max(run_line(each) for each in lines)
    if shell.script == NORM:
        return run_line(parse_downstream([*shell.args, *extra, "-m", "train", "-u", "m2d_calcnorm"], NORM))
    return run_line(parse_downstream([*shell.args, *extra]))


def run_line(line: DownstreamLine) -> int:
    """Run a parsed line and return its exit status."""
    if line.mode == "evaluate":
        return evaluate(line)
    return measure_statistics(line) if line.upstream == "m2d_calcnorm" else train(line)


def task_clips(line: DownstreamLine) -> TaskClips:
    """Return the clips of the suite's task. Raises MissingData where they are not there."""
    from auricle.data.published.folders import datasets_root
    from auricle.evaluation.suites.read import read_suite
    from auricle.evaluation.suites.superb.tasks import SuperbTask, SuperbWork

    (entry,) = read_suite("superb").of_tasks([line.task]).tasks
    assert isinstance(entry, SuperbTask)
    root, values = datasets_root(), dict(entry.values)
    if line.folder:
        folder = Path(line.folder).expanduser().absolute()
        root = folder.parent
        moved = {key: values[key] for key in ("source", "lexicon", "trials") if key in values}
        values |= {key: str(Path(folder.name, Path(path).name)) for key, path in moved.items()}
        values |= {"folder": folder.name} if "dataset" in values else {}
    found = SuperbWork(replace(entry, values=(*values.items(),)), str(root.absolute())).clips
    return replace(found, splits=[_chosen(found.splits, line.fold)]) if line.fold else found


def _chosen(splits: Sequence[Split], fold: str) -> Split:
    """The split that tests a fold: "fold1" is the first."""
    number = fold.removeprefix("fold")
    if not number.isdigit() or not 1 <= int(number) <= len(splits):
        raise AuricleError(f"test_fold is one of fold1 to fold{len(splits)}, not '{fold}'")
    return splits[int(number) - 1]


def prepare(line: DownstreamLine, clips: TaskClips) -> Prepared:
    """Load the upstream and encode the clips."""
    from auricle.compat.s3prl.upstreams import EncoderUpstream, M2DUpstream, MAEASTUpstream
    from auricle.evaluation.suites.contract import WorkContext
    from auricle.evaluation.suites.superb.scoring import prepare_task

    kinds = {"m2d": M2DUpstream, "auricle": EncoderUpstream}
    upstream = kinds.get(line.upstream, MAEASTUpstream)(line.checkpoint)
    return prepare_task(upstream.encoder, clips, line.settings, WorkContext())


def train(line: DownstreamLine) -> int:
    """Train the head, test it and write it. Return 0, or 1 if clips could not be read."""
    import torch

    from auricle.evaluation.suites.superb.scoring import train_round

    ready = prepare(line, task_clips(line))
    split = ready.task.splits[0]
    if len(ready.task.splits) > 1:
        print(f"note: {split.name} is tested; -o \"config.downstream_expert.datarc.test_fold='fold2'\" tests another")
    row, model = train_round(ready, split, line.seed)
    folder = Path(line.experiments) / line.name
    make_folder(folder)
    torch.save({"line": json.dumps(asdict(line)), "split": split.name, "state": model.state_dict()}, folder / BEST)
    write_text(folder / SCORES, json.dumps({**asdict(row), "metric": line.settings.metric}, indent=1))
    what = line.settings.metric.replace("_", " ")
    print(
        f"{folder / BEST}: step {row.step} of {line.settings.steps}, dev {abs(row.validation):.4f}, test {what} {row.score:.4f}"
    )
    return _status(ready)


def evaluate(line: DownstreamLine) -> int:
    """Test a written head again. Return 0, or 1 if clips could not be read.

    Raises:
        AuricleError: The file is not there, or is not of ours.
    """
    import torch

    from auricle.evaluation.suites.superb.scoring import new_model, score_model
    from auricle.evaluation.suites.superb.settings import HeadSettings

    path = Path(line.past)
    if not path.is_file():
        raise AuricleError(f"there is no {path}; -m train -n {path.parent.name or 'NAME'} writes it")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        values = json.loads(content["line"])
        trained = DownstreamLine(**values | {"settings": HeadSettings(**values["settings"])})
        name, state = content["split"], content["state"]
    except Exception:  # whatever the file holds
        raise AuricleError(f"{path} is not a head that 'auricle original superb' trained") from None
    ready = prepare(trained, task_clips(trained))
    split = next((own for own in ready.task.splits if own.name == name), ready.task.splits[0])
    model, inputs = new_model(ready)
    try:
        model.load_state_dict(state)
    except RuntimeError:
        raise AuricleError(f"{path} was trained on other classes than those of the data that are here") from None
    score = score_model(ready, split.test, model, inputs)
    print(f"{path}: test {trained.settings.metric.replace('_', ' ')} {score:.4f}")
    return _status(ready)


def _status(ready: Prepared) -> int:
    for id, reason in ready.failed.items():
        print(f"note: {id}: {reason}")
    return 1 if ready.failed else 0


def measure_statistics(line: DownstreamLine) -> int:
    """Measure mean and deviation of the log-mel batches of a task, and print the three lines.

    The batches are those of training, zero-padded; the first is the random second with which s3prl's featurizer begins. ``-o
    config.runner.total_steps=N`` measures N batches in place of 10,000. No network runs, so ``-k`` is not needed.
    """
    import numpy as np
    import torch

    from auricle.compat.s3prl.upstreams import report
    from auricle.core.randomness import RandomKey
    from auricle.evaluation.suites.superb.hidden_states import RATE
    from auricle.evaluation.suites.superb.inputs import Waves, readable_rows
    from auricle.evaluation.suites.superb.settings import SUPERB
    from auricle.evaluation.suites.superb.training import batches, class_weights
    from auricle.frontends.base import front_end
    from auricle.frontends.running_norm import RunningNorm

    clips, settings, front = task_clips(line), line.settings, front_end("m2d-logmel/16k")
    waves, key = Waves(clips.clips), RandomKey(line.seed)
    samples, failed = readable_rows(waves)
    rows = np.array([row for row in clips.splits[0].train if row in samples])
    if not len(rows):
        raise AuricleError(f"no training clip could be read; {next(iter(failed.values()), 'there is none')}")
    labels = [int(clips.targets[row][0]) for row in rows]
    drawn = batches(rows, class_weights(labels) if settings.balanced else None, settings.batch_size, key)
    norm = RunningNorm(UPDATES if settings.steps == SUPERB[line.task].steps else settings.steps)
    batch = [torch.randn(RATE, generator=key.torch("superb/second"))]
    while not norm.finished:
        padded = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
        norm.update(front(padded, torch.full((len(batch),), padded.shape[1])))
        batch = [torch.from_numpy(waves.read(row)) for row in next(drawn)] if not norm.finished else []
    print(report(norm))
    return 1 if failed else 0
