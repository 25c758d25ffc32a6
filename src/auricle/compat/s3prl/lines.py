"""SUPERB's command lines: ``run_downstream.py``'s options, and the scripts of M2D's read-me that call it. No PyTorch here.

Source: [evaluation 6.2](docs/specification/evaluation.md#s6-2), [m2d 7](docs/specification/m2d.md#s7).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from auricle.compat.lines import LineParser
from auricle.core.errors import AuricleError, nearest
from auricle.evaluation.suites.superb.settings import M2D, SUPERB, HeadSettings

RUN = "run_downstream"
NORM = "norm"
TASKS = {
    "speech_commands": "KS",
    "fluent_commands": "IC",
    "voxceleb1": "SID",
    "emotion": "ER",
    "ctc": "PR",
    "sv_voxceleb1": "ASV",
}
UPSTREAMS = ("m2d", "m2d_calcnorm", "mae_ast", "mae_ast_patch", "mae_ast_frame", "auricle")
SCRIPTS = {"ks.sh": "KS", "ic.sh": "IC", "sid.sh": "SID", "pr.sh": "PR", "er.sh": "ER"}
FOLDS = ("fold1", "fold2", "fold3", "fold4", "fold5")
SETTINGS = {
    "config.optimizer.lr": "lr",
    "config.runner.total_steps": "steps",
    "config.runner.gradient_accumulate_steps": "accumulate",
    "config.runner.gradient_clipping": "clip_norm",
    "config.runner.eval_step": "check_every",
    "config.downstream_expert.datarc.train_batch_size": "batch_size",
    "config.downstream_expert.datarc.batch_size": "batch_size",
}
DATARC = "config.downstream_expert.datarc."
PLACES = ("speech_commands_root", "file_path", "root", "libri_root", "data")  # names of a data set's folder
FOLD = f"{DATARC}test_fold"


@dataclass(frozen=True)
class DownstreamLine:
    """A parsed call of ``run_downstream.py``.

    Attributes:
        mode: "train" or "evaluate".
        name: Name of the experiment.
        upstream: Name of the upstream.
        task: KS, IC, SID, ER, PR or ASV; "" where the checkpoint says it.
        checkpoint: s3prl's ``-k``.
        past: s3prl's ``-e``: the head to evaluate.
        settings: How the head is trained.
        folder: Folder of the data set; "" for the usual place.
        fold: "fold1" of ER; "" for all.
        seed: The seed.
        experiments: Folder of the experiments.
    """

    mode: str
    name: str = ""
    upstream: str = ""
    task: str = ""
    checkpoint: str = ""
    past: str = ""
    settings: HeadSettings = field(default_factory=lambda: SUPERB["KS"])
    folder: str = ""
    fold: str = ""
    seed: int = 1337
    experiments: str = "result/downstream"


def parser(program: str) -> LineParser:
    """Return the parser of ``run_downstream.py``'s options."""
    own = LineParser(f"auricle original superb {program}")
    own.add_argument(
        "-m", "--mode", choices=("train", "evaluate"), default="train", help="train, or evaluate a checkpoint"
    )
    own.add_argument("-n", "--expname", default="", help="name of the experiment: result/downstream/NAME")
    own.add_argument("-p", "--expdir", default="", help="folder of the experiment, in place of the name")
    own.add_argument("-u", "--upstream", default="", help=", ".join(UPSTREAMS))
    own.add_argument("-d", "--downstream", default="", help=", ".join(TASKS))
    own.add_argument("-k", "--upstream_ckpt", default="", help="PATH,MEAN,STD of m2d; PATH of the others")
    own.add_argument("-e", "--past_exp", default="", help="dev-best.ckpt to evaluate")
    own.add_argument(
        "-o", "--override", action="append", default=[], help="config.optimizer.lr=1e-4,,config.runner.total_steps=9"
    )
    own.add_argument("-f", "--upstream_trainable", action="store_true", help="train the encoder too")
    own.add_argument(
        "-s", "--upstream_feature_selection", choices=("hidden_states", "last_hidden_state"), default="hidden_states"
    )
    own.add_argument("-c", "--config", default="", help="accepted: the published settings apply")
    own.add_argument("-a", "--auto_resume", action="store_true", help="accepted, without effect")
    own.add_argument("--seed", type=int, default=1337, help="of initialisation and order")
    own.add_argument("--device", default="auto", help="accepted: the first GPU if there is one")
    return own


def parse_downstream(args: Sequence[str], program: str = RUN) -> DownstreamLine:
    """Parse the options.

    Raises:
        AuricleError: For unknown tasks, upstreams and settings, and lines without a name or a checkpoint.
    """
    values = parser(program).parse_args(list(args))
    if values.downstream and values.downstream not in TASKS:
        hint = nearest(values.downstream, tuple(TASKS))
        raise AuricleError(f"-d {values.downstream} has no head here{hint}; {', '.join(TASKS)} have")
    task = TASKS.get(values.downstream, "")
    if values.mode == "evaluate":
        if not values.past_exp:
            raise AuricleError("-m evaluate needs -e result/downstream/NAME/dev-best.ckpt")
        return DownstreamLine("evaluate", task=task, past=values.past_exp)
    if not task:
        raise AuricleError(f"-m train needs -d, one of {', '.join(TASKS)}")
    if values.upstream not in UPSTREAMS:
        found = f"-u {values.upstream} is not made here" if values.upstream else "-m train needs -u"
        raise AuricleError(f"{found}{nearest(values.upstream, UPSTREAMS)}; {', '.join(UPSTREAMS)} are")
    name = PurePosixPath(values.expdir or values.expname)
    if not (name.name or values.upstream == "m2d_calcnorm"):
        raise AuricleError("-m train needs -n NAME")
    given = overrides(values.override)
    settings = replace(SUPERB[task], **_settings(given))
    settings = replace(
        settings,
        train_encoder=values.upstream_trainable,
        last_layer=values.upstream_feature_selection == "last_hidden_state",
    )
    parent = str(name.parent) if values.expdir else DownstreamLine.experiments
    folder = next((str(given[DATARC + key]) for key in PLACES if DATARC + key in given), "")
    fold = str(given.get(FOLD, ""))
    return DownstreamLine(
        "train", name.name, values.upstream, task, values.upstream_ckpt, "", settings, folder, fold, values.seed, parent
    )


def overrides(texts: Sequence[str]) -> dict[str, Any]:
    """Parse ``name=value,, name=value``; values are Python literals, else text.

    Raises:
        AuricleError: A part is not of this form.
    """
    found: dict[str, Any] = {}
    for part in (part.strip() for text in texts for part in text.split(",,")):
        name, equals, text = part.partition("=")
        if part and not equals:
            raise AuricleError(f"-o takes name=value,, name=value; found '{part}'")
        try:
            found[name.strip()] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            found[name.strip()] = text.strip()
    found.pop("", None)
    return found


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """The settings of the head among overrides. Raises AuricleError for unknown names and values that are no numbers."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name.startswith(DATARC) and (name == FOLD or name.removeprefix(DATARC) in PLACES):
            continue
        if name not in SETTINGS:
            known = (*SETTINGS, FOLD)
            raise AuricleError(f"-o: unknown setting '{name}'{nearest(name, known)}; known: {', '.join(known)}")
        whole = SETTINGS[name] not in ("lr", "clip_norm")
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value <= 0:
            raise AuricleError(f"-o: {name} should be a {'whole ' if whole else ''}number above 0, found {value!r}")
        found[SETTINGS[name]] = value
    return found


def script_lines(script: str, args: Sequence[str], extra: Sequence[str] = ()) -> Iterator[list[str]]:
    """Yield the calls of ``run_downstream.py`` of a script: ``ks.sh GPU UPSTREAM CHECKPOINT SEED``.

    Args:
        script: "ks.sh", …
        args: Its arguments.
        extra: Options that are added to every training line.

    Raises:
        AuricleError: There are not four arguments.
    """
    if len(args) != 4:
        raise AuricleError(
            f"{script} takes four arguments: GPU UPSTREAM CHECKPOINT SEED, as in ./{script} 0 m2d W.pth 7"
        )
    _, upstream, checkpoint, seed = args
    task, path = SCRIPTS[script], PurePosixPath(checkpoint)
    lr, (mean, std) = M2D[task]
    downstream = next(name for name, own in TASKS.items() if own == task)
    rate = f"{lr:.0e}".replace("e-0", "e-")
    name = "-".join(part for part in (path.parent.name, path.stem, task, f"lr{rate}", f"s{seed}") if part)
    for fold in FOLDS if task == "ER" else ("",):
        own = f"{name}-{fold}" if fold else name
        chosen = f"config.optimizer.lr={rate}" + (f",, {FOLD}='{fold}'" if fold else "")
        stats = f",{mean},{std}" if upstream == "m2d" else ""
        yield ["-m", "train", "-n", own, "-u", upstream, "-d", downstream, "-o", chosen,
               "-k", f"{checkpoint}{stats}", "--seed", seed, *extra]  # fmt: skip
        yield ["-m", "evaluate", "-e", f"{DownstreamLine.experiments}/{own}/dev-best.ckpt"]
