"""M2D's medical applications: ``eval_icbhi.sh``, ``eval_sprs.sh`` (respiratory sounds) and ``m2d_ftcircor.sh`` (heart murmurs).

Their settings are the published recipes ([finetuning 9](docs/specification/finetuning.md#s9),
[10](docs/specification/finetuning.md#s10)). Every run has a seed, which the respiratory program lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.compat.datasets import read_dataset
from auricle.compat.lines import LineParser
from auricle.compat.m2d.evar_results import append_row
from auricle.core.errors import AuricleError
from auricle.core.io import make_folder
from auricle.core.options import with_values
from auricle.data.manifest.formats import write_manifest
from auricle.data.published.folders import dataset_folder
from auricle.methods.registry import preset_values
from auricle.methods.supervised.config import FinetuneConfig

if TYPE_CHECKING:
    from auricle.commands.finetune.finetune import FinetuneResult

Change = Callable[[FinetuneConfig], FinetuneConfig]
CIRCOR = "m2d_ftcircor.sh"


@dataclass(frozen=True)
class Application:
    """A script for respiratory sounds.

    Attributes:
        dataset: the published data set.
        recipe: the published settings.
        lr: learning rate without an argument.
        table: name of the table of scores.
    """

    dataset: str
    recipe: str
    lr: float
    table: str


RESPIRATORY = {
    "eval_icbhi.sh": Application("icbhi", "icbhi-published", 5e-5, "icbhi-scores.csv"),
    "eval_sprs.sh": Application("sprsound", "sprsound-published", 5e-6, "sprs-scores.csv"),
}
SCRIPTS = (*RESPIRATORY, CIRCOR)
SCORES = {"best_sp": "specificity", "best_se": "sensitivity", "best_icbhi_score": "respiratory_score"}
MURMURS = {
    "wacc": "weighted_accuracy",
    "uar": "uar",
    "r_Present": "recall_present",
    "r_Unknown": "recall_unknown",
    "r_Absent": "recall_absent",
}
CIRCOR_SETS = {1: "circor", 2: "circor-2", 3: "circor-3"}
REPEATS = 3
OWN = "folder of the data set, in its official layout (not an option of the original)"


@dataclass(frozen=True)
class ApplicationRun:
    """One run of a script.

    Attributes:
        name: of the run folder in ``logs``.
        dataset: the published data set; folder: its folder, where it is not that of the name.
        recipe: the published settings, and values that replace some of them.
        weights: the weight file.
        table: name of the table of scores in ``results``.
        facts: further columns of the table.
    """

    name: str
    dataset: str
    folder: str | None
    recipe: str
    values: dict[str, Any]
    weights: str
    table: str
    facts: dict[str, Any]


def application_runs(script: str, args: Sequence[str]) -> list[ApplicationRun]:
    """Return the runs of a script.

    Raises:
        AuricleError: for arguments that it does not take.
    """
    return list(circor_runs(args) if script == CIRCOR else respiratory_runs(script, args))


def respiratory_runs(script: str, args: Sequence[str]) -> Iterator[ApplicationRun]:
    """Yield the repeats of ``eval_icbhi.sh WEIGHT [REPEATS] [LR]``; their seeds are 1, 2, …"""
    application = RESPIRATORY[script]
    parser = LineParser(f"auricle original m2d {script}")
    parser.add_argument("weight", help="weight file")
    parser.add_argument("repeats", type=int, nargs="?", default=REPEATS)
    parser.add_argument("lr", type=float, nargs="?", default=application.lr)
    parser.add_option("--dataset_dir", help=OWN)
    line = parser.parse_args(list(args))
    name = f"m2d-sl-{weight_name(line.weight)}-lr{line.lr:g}-bs64s4Z"
    for seed in range(1, line.repeats + 1):
        values = {"lr": line.lr, "seed": seed}
        yield ApplicationRun(
            f"{name}-{application.dataset}-s{seed}",
            application.dataset,
            line.dataset_dir,
            application.recipe,
            values,
            line.weight,
            application.table,
            {"model": name},
        )


def circor_runs(args: Sequence[str]) -> Iterator[ApplicationRun]:
    """Yield the runs of ``m2d_ftcircor.sh FOLDER SPLIT REPEATS SEED EPOCH…``; every run has the next seed."""
    parser = LineParser(f"auricle original m2d {CIRCOR}")
    parser.add_argument("folder", help="folder of the checkpoints")
    parser.add_argument("split", type=int, choices=tuple(CIRCOR_SETS), help="split of the patients")
    parser.add_argument("repeats", type=int)
    parser.add_argument("seed", type=int, help="the first run has this seed plus 1")
    parser.add_argument("epochs", type=int, nargs="+", metavar="epoch", help="number of a checkpoint")
    parser.add_option("--dataset_dir", help=OWN)
    line = parser.parse_args(list(args))
    seed = line.seed
    for _ in range(line.repeats):
        for epoch in line.epochs:
            seed += 1
            weights = f"{line.folder}/checkpoint-{epoch}.pth"
            task, name = f"circor{line.split}", weight_name(weights)
            yield ApplicationRun(
                f"{name}_{task}_s{seed}",
                CIRCOR_SETS[line.split],
                line.dataset_dir,
                "m2d-circor-published",
                {"seed": seed},
                weights,
                "circor-scores.csv",
                {"representation": name, "task": task},
            )


def weight_name(file: str) -> str:
    """Return folder and stem of a weight file, as the scripts name a model."""
    path = Path(file)
    return f"{path.parent.name}_{path.stem}".lstrip("_")


def run_application(run: ApplicationRun, change: Change | None = None) -> int:
    """Train, print the scores and append them to ``results``. Return 0, or 1 if unreadable clips were replaced.

    Args:
        change: applies settings of ``auricle finetune``.
    """
    from auricle.commands.finetune.finetune import finetune_run

    folder = dataset_folder(run.dataset, run.folder, "--dataset_dir", name=run.dataset.partition("-")[0])
    manifest = read_dataset(run.dataset, folder)
    out, source = Path("logs") / run.name, Path("logs") / f"{run.name}-data" / "manifest.csv"
    config = FinetuneConfig("supervised", str(source), str(out), model=run.weights)
    config = with_values(config, {**preset_values("supervised", run.recipe), **run.values})
    config = config if change is None else change(config)
    if Path(str(config.out)).exists():
        raise AuricleError(f"{config.out} exists: this line has run here already; move the folder away")
    make_folder(source.parent)
    write_manifest(manifest, source)
    result = finetune_run(config)
    row = score_row(run, result)
    append_row(Path("results") / run.table, row)
    shown = ", ".join(f"{name} {value:.4f}" for name, value in row.items() if isinstance(value, float))
    print(f"{result.run}: {shown}")
    return 1 if result.replaced else 0


def score_row(run: ApplicationRun, result: FinetuneResult) -> dict[str, Any]:
    """Return the row of the original's table: of patients for heart murmurs, of the best epoch for respiratory sounds."""
    scores = result.test or result.validation
    if run.dataset in CIRCOR_SETS.values():
        own = {column: float(scores[f"group_{name}"]) for column, name in MURMURS.items()}
        return {**run.facts, **own, "weight_file": run.weights, "run_id": run.name, "report": str(result.run)}
    own = {column: float(scores[name]) for column, name in SCORES.items()}
    return {**run.facts, **own, "report": str(result.run), "args": f"{run.recipe} {run.values}"}
