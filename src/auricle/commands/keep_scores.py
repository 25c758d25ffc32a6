"""Where scores are kept: the results store, the run folder, the file that was asked for; if need be another place.

Places are checked before the work begins. A score that was measured is never lost: where the store cannot be written in the
end, the evaluation is in a file, and a sentence says in which.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.core.errors import AuricleError
from auricle.core.io import cache_dir, make_folder, temporary_folder, writable_cache, write_text
from auricle.core.randomness import key_of

if TYPE_CHECKING:
    from auricle.evaluation.evaluation import Evaluation
    from auricle.evaluation.result_rows import Result
    from auricle.evaluation.results import ResultsStore
    from auricle.evaluation.suites.contract import Measured
    from auricle.evaluation.suites.models import ModelToMeasure

STORE = "results.sqlite"
SPARE_STORE = "auricle-results.sqlite"
EVALUATIONS = "evaluations"  # in a run folder


def store_path(store: str | None) -> Path:
    """Return the named file, or results.sqlite in the cache folder; where only a spare one is here, that one."""
    if store:
        return Path(store).expanduser()
    path, spare = cache_dir() / STORE, Path(SPARE_STORE)
    return spare if spare.exists() and not path.exists() else path


def writable_store(store: str | None) -> tuple[ResultsStore, str]:
    """Return the store that scores are appended to, and a sentence where it is not the usual one ("" where it is).

    Raises:
        AuricleError: It is damaged, of a newer version, or a named one that cannot be written.
    """
    from auricle.evaluation.results import ResultsStore

    path, note = (Path(store).expanduser(), "") if store else _default_store()
    results = ResultsStore(path)
    results.check()
    return results, note


def _default_store() -> tuple[Path, str]:
    """results.sqlite in the cache folder, or a spare place where that cannot be written, with a sentence."""
    _, reason = writable_cache()
    usual = cache_dir() / STORE
    if not reason and usual.exists() and not os.access(usual, os.W_OK):
        reason = f"{usual} cannot be written"
    if not reason:
        return usual, ""
    here = Path(SPARE_STORE).absolute()
    spare = here if os.access(here.parent, os.W_OK) else temporary_folder() / STORE
    return spare, f"{reason}; scores go to {spare}: 'auricle results --store {spare}' shows them"


@dataclass(frozen=True)
class ScoreKeeper:
    """Where the evaluations of one command go.

    Attributes:
        store: The results store.
        run: The run folder that was measured, where the model is one: its report shows the evaluations.
        out: The JSON file that was asked for.
    """

    store: ResultsStore
    run: Path | None = None
    out: Path | None = None

    def check(self) -> None:
        """Raise AuricleError where the file that was asked for cannot be written."""
        if self.out is not None:
            make_folder(self.out.parent, "choose another --out")
            if self.out.is_dir():
                raise AuricleError(f"--out {self.out} is a folder; name a file")

    def keep(self, evaluation: Evaluation) -> list[str]:
        """Write the evaluation to all places.

        Returns:
            What could not be written, in words, and where the score is in its place.
        """
        from auricle.evaluation.result_rows import rows_of

        return self.keep_rows(tuple(rows_of(evaluation)), evaluation)

    def keep_rows(self, rows: Sequence[Result], evaluation: Evaluation | None = None) -> list[str]:
        """Write rows to the store, and their evaluation where there is one to all places; see ``keep``.

        The evaluation of a suite's work is also kept beside the store, before the rows: their being there says that it is.
        """
        problems, saved = list[str](), list[Path]()
        if evaluation is not None:
            saved, problems = self._save(evaluation, rows[0].work if rows else "")
        try:
            self.store.append(list(rows), once=True)
        except AuricleError as error:
            kept = saved[0] if saved else _rescue(evaluation) if evaluation is not None else None
            where = f"It is in {kept}; 'auricle results --add {kept}' adds it later" if kept else "Copy it from here"
            problems.append(f"the score was not added to the results store: {error}. {where}")
        return problems

    def _save(self, evaluation: Evaluation, work: str) -> tuple[list[Path], list[str]]:
        """Write the files of an evaluation. Returns those that were written, and what could not be."""
        from auricle.evaluation.results import evaluation_file

        files = [self.out] if self.out else []
        in_run = self.run and self.out and self.out.resolve().parent == (self.run / EVALUATIONS).resolve()
        files += [run_file(self.run, evaluation)] if self.run and not in_run else []
        files += [evaluation_file(self.store.path, work)] if work else []
        saved, problems = [], []
        for file in files:
            try:
                make_folder(file.parent)
                evaluation.save(file)
                saved.append(file)
            except (AuricleError, OSError) as error:
                problems.append(str(error))
        return saved, problems


@dataclass(frozen=True)
class SuiteKeeper:
    """Where the scores of a suite go: the results store, and the run folder of each model that is one."""

    store: ResultsStore

    def __call__(self, model: ModelToMeasure, measured: Measured) -> list[str]:
        """Keep what was measured of a model. Returns what could not be written, in words."""
        problems = self._write_files(measured)
        return problems + ScoreKeeper(self.store, model.run).keep_rows(measured.rows, measured.evaluation)

    def _write_files(self, measured: Measured) -> list[str]:
        """Write the files of what was measured beside the store. Returns what could not be written, in words."""
        from auricle.evaluation.results import evaluation_file

        problems = []
        for name, text in measured.files.items():
            file = evaluation_file(self.store.path, measured.rows[0].work).with_suffix(f".{name}")
            try:
                make_folder(file.parent)
                write_text(file, text)
            except (AuricleError, OSError) as error:
                problems.append(str(error))
        return problems


def run_file(run: Path, evaluation: Evaluation) -> Path:
    """Return the file of an evaluation in a run folder: another measurement has another file."""
    from auricle.evaluation.compare import same_task
    from auricle.evaluation.evaluation import Evaluation as Saved

    folder, name = run / EVALUATIONS, _slug(evaluation)
    try:
        earlier = Saved.load(folder / f"{name}.json")
    except AuricleError:
        return folder / f"{name}.json"
    if same_task(earlier, evaluation) and earlier.variant == evaluation.variant:
        return folder / f"{name}.json"
    fingerprint = evaluation.task_identity.fingerprint
    other = f"{key_of(evaluation.task, fingerprint, evaluation.protocol, evaluation.metric, evaluation.variant):032x}"
    return folder / f"{name}-{other[:8]}.json"


def _slug(evaluation: Evaluation) -> str:
    """ "esc10-logistic-layers-5-11", of letters, digits and hyphens."""
    text = "-".join(part for part in (evaluation.task, evaluation.protocol, evaluation.variant) if part)
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:100] or "evaluation"


def _rescue(evaluation: Evaluation) -> Path | None:
    """Save the evaluation where it can be: in the current folder, else in the temporary one."""
    name = f"auricle-score-{_slug(evaluation)}-{time.strftime('%y%m%d-%H%M%S')}.json"
    for folder in (Path.cwd, temporary_folder):
        try:
            file = folder() / name
            evaluation.save(file)
        except (AuricleError, OSError):
            continue
        return file
    return None
