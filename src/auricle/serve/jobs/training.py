"""The job that trains a head on the labels of the page: ``auricle finetune`` in a process of its own, which can be ended."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError
from auricle.core.io import make_folder
from auricle.data.manifest.formats import write_manifest
from auricle.data.manifest.manifest import Manifest
from auricle.hub.run_folder import RunFolder
from auricle.serve.jobs.jobs import JobHandle
from auricle.serve.sessions import Models

HOW = ("--how", "head", "--kind", "multilabel", "--quiet")  # a window of a recording may hold none of the classes
LOOK_SECONDS = 0.2
STOP_SECONDS = 5.0  # that the process gets to end
TABLE, OUTPUT = "labels.csv", "run"
WORDS = {"train": "held-out folds", "valid": "validation part", "test": "test part"}
LONGEST_REASON = 2000  # characters of what the process said


@dataclass(frozen=True)
class TrainWork:
    """Trains heads.

    Attributes:
        models: where the new model is offered.
        folder: for the run folders of finished heads.
        working: for what is going on.
        clips: gives the clips to learn from.
    """

    models: Models
    folder: Path
    working: Path
    clips: Callable[[], Manifest]

    def train(self, handle: JobHandle) -> dict[str, Any]:
        """Train a head on a frozen encoder and offer it as a model.

        Returns:
            {"model": its id, "run": its folder, "scores": {name: value}, "notes": [text]}.

        Raises:
            AuricleError: the labels are not enough, or the process failed; the message is that of ``auricle finetune``.
        """
        settings = handle.settings
        target = self.folder / settings["name"]
        work = self.working / handle.id
        shutil.rmtree(work, ignore_errors=True)  # of a server that was stopped
        make_folder(work)
        try:
            write_manifest(self.clips(), work / TABLE)
            answer = self._finetune(handle, work)
            shutil.rmtree(target, ignore_errors=True)
            make_folder(self.folder)
            (work / OUTPUT).replace(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        model = self.models.add(target, trained=True, id=settings["name"])
        return {"model": model.id, "run": str(target), **answer}

    def _finetune(self, handle: JobHandle, work: Path) -> dict[str, Any]:
        """Run the command and return the scores and notes of the head."""
        base = self.models.get(handle.settings["base"])
        words = ["finetune", str(work / TABLE), "--model", base.path, "--out", str(work / OUTPUT), *HOW]
        words += ["--weights", base.weights] if base.weights else []
        words += ["--device", self.models.tagging.device]
        with open(work / "said.txt", "wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "auricle", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,  # Ctrl-C is for the server, which ends it
            )
            began = time.monotonic()
            try:
                while process.poll() is None:
                    seconds = time.monotonic() - began
                    handle.progress(seconds / (seconds + 30.0) * 0.9, f"learns for {seconds:.0f} s")
                    time.sleep(LOOK_SECONDS)
            finally:
                _end(process)
        if process.returncode not in (0, 1):  # 1: some recordings could not be read
            raise AuricleError(reason_in((work / "said.txt").read_text(encoding="utf-8", errors="replace")))
        run = work / OUTPUT
        return {"scores": scores_of(run), "notes": notes_of(run)}


def scores_of(run: Path) -> dict[str, float]:
    """Return the scores of a detector's run folder by name; {} for any other run."""
    return {
        f"{name} ({WORDS.get(part, part)})": float(value)
        for part, values in (_json_of(RunFolder(run).detector).get("scores") or {}).items()
        for name, value in values.items()
        if isinstance(value, (int, float)) and math.isfinite(value) and name != "classes_scored"
    }


def notes_of(run: Path) -> list[str]:
    """Return what is to be known of a detector's thresholds, as sentences."""
    thresholds = _json_of(RunFolder(run).detector).get("thresholds") or {}
    return [str(note) for note in thresholds.get("notes") or []]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process: in order, and after a while by force."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def reason_in(text: str) -> str:
    """Return the error of the command from what it said: its last line."""
    lines = [line.removeprefix("auricle: ").strip() for line in text.splitlines() if line.strip()]
    return (
        lines[-1][-LONGEST_REASON:]
        if lines
        else "the training ended without a message; look at the memory of the machine"
    )


def _json_of(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
