"""The certificate of an export: how far the exported graph is from its source, as data and as a page."""

from __future__ import annotations

import json
import platform
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError, content_fault
from auricle.core.io import dumps, sha256_of, write_text
from auricle.exporting.description import FILE as LABELS
from auricle.exporting.description import Description
from auricle.exporting.golden import FILE as GOLDEN
from auricle.exporting.runtimes import MODEL_FILES, Outputs

FILE, PAGE = "certificate.json", "certificate.md"
TOLERANCES = {"scores": 1e-5, "logits": 1e-4, "embedding": 1e-4, "frames": 1e-3}  # largest error in float32
MOST_TOLERATED = 1e3  # a limit above says nothing
RELATIVE = ("embedding", "frames")  # these are times the largest value, where that is above 1

Errors = dict[str, float]


@dataclass(frozen=True)
class ClipErrors:
    """The largest errors of one golden clip, by output."""

    clip: str
    seconds: float
    windows: int
    errors: Errors


@dataclass(frozen=True)
class Certificate:
    """What was measured of an export.

    Attributes:
        model, family, licence, source, fingerprint, front_end: of the source.
        to: the format.
        precision: of the graph.
        clips: errors of each golden clip; tolerances: their limits.
        labels: number of classes by head.
        files: size in bytes and SHA-256 of every file of the bundle, by name.
        milliseconds: of one clip of ``seconds`` in the source and in the exported graph, with so many threads.
        versions: of the packages; machine: where it was measured.
        quantized: of smaller numbers: the name of the form, what the ranges were fitted on, and what is lost of the task
            (``quantization.loss.TaskLoss``); empty for float32.
        tried: the forms that were tried, where there were several.
    """

    model: str
    family: str
    licence: str
    source: str
    fingerprint: str
    front_end: str
    to: str
    precision: str
    clips: tuple[ClipErrors, ...]
    tolerances: Errors
    labels: dict[str, int]
    files: dict[str, dict[str, Any]]
    milliseconds: dict[str, float]
    versions: dict[str, str]
    machine: str
    quantized: dict[str, Any] = field(default_factory=dict)
    tried: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, description: Description, **measured: Any) -> Certificate:
        """Return the certificate of a graph; ``measured`` are the fields that its description does not hold."""
        return cls(
            model=description.model,
            family=description.family,
            licence=description.licence,
            source=description.source,
            fingerprint=description.fingerprint,
            front_end=description.front_end,
            labels={head.name: len(head.label_space["ids"]) for head in description.heads},
            **measured,
        )

    @property
    def largest(self) -> Errors:
        """The largest error of each output over all clips."""
        return largest_errors(self.clips)

    def write(self, folder: Path) -> None:
        """Write ``certificate.json`` and ``certificate.md``."""
        values = asdict(self) | {"largest_errors": self.largest}
        write_text(folder / FILE, dumps(values, indent=1, ensure_ascii=False) + "\n")
        write_text(folder / PAGE, self.page())

    @classmethod
    def read(cls, folder: Path) -> Certificate:
        """Read ``certificate.json``. Raises AuricleError if the folder holds none."""
        try:
            values = json.loads((folder / FILE).read_text(encoding="utf-8"))
            del values["largest_errors"]
            values["clips"] = tuple(ClipErrors(**clip) for clip in values["clips"])
            values["tried"] = tuple(values.get("tried", ()))
            return cls(**values)._checked()
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            reason = content_fault(error)
            raise AuricleError(f"{folder} is no bundle of 'auricle export': {FILE} cannot be read ({reason})") from None

    def _checked(self) -> Certificate:
        """This certificate. Raises ValueError for values that a replay cannot use."""
        if not isinstance(self.to, str) or self.to not in MODEL_FILES:
            raise ValueError(f"'to' is {reprlib.repr(self.to)}, known formats are {', '.join(sorted(MODEL_FILES))}")
        needed = (*MODEL_FILES[self.to], GOLDEN, LABELS)
        if lacking := [name for name in needed if not isinstance(self.files[name]["sha256"], str)]:
            raise ValueError(f"it has no checksum of {lacking[0]}")
        limits = self.tolerances.values()
        if not limits or not all(type(limit) in (int, float) and 0 < limit <= MOST_TOLERATED for limit in limits):
            raise ValueError(f"its tolerances are {reprlib.repr(self.tolerances)}, expected numbers above 0 by output")
        return self

    def check_files(self, folder: Path) -> None:
        """Raise AuricleError for a file of the bundle that is missing or is not what was exported."""
        present = files_of(folder)
        for name, file in self.files.items():
            if name not in present or present[name]["sha256"] != file["sha256"]:
                state = "has changed" if name in present else "is missing"
                raise AuricleError(
                    f"{folder / name} {state} since the export; copy the bundle again, or export the model again"
                )

    def page(self) -> str:
        """Return the certificate as Markdown."""
        times, outputs = self.milliseconds, list(self.largest)
        rows = [
            f"| {clip.clip} | {clip.seconds:.2f} s, {clip.windows} |"
            + "".join(f" {clip.errors[name]:.1e} |" for name in outputs)
            for clip in self.clips
        ]
        limits = "".join(f" {_tolerance(self.tolerances, name):.0e} |" for name in outputs)
        files = [f"| {name} | {file['bytes']:,} | `{file['sha256']}` |" for name, file in self.files.items()]
        labels = ", ".join(f"{count} ({name})" for name, count in self.labels.items()) or "none: embeddings only"
        return "\n".join(
            [
                f"# {self.model}, exported to {self.to}",
                "",
                *self._meaning(),
                "",
                f"| clip | length, windows |{''.join(f' {name} |' for name in outputs)}",
                f"|---|---|{'---|' * len(outputs)}",
                *rows,
                f"| {'limit of a replay' if self.quantized else 'limit'} | |{limits}",
                "",
                *self._tried(),
                f"One clip of {times['seconds']:g} s took {times['source']:.1f} ms in PyTorch and {times['exported']:.1f} ms "
                f"exported, {times['threads']:.0f} thread(s), {self.machine}.",
                "",
                f"- Front end inside the graph: `{self.front_end}`",
                f"- Classes: {labels}",
                f"- Licence of the weights: {self.licence}",
                f"- Source: {self.source or 'not stated'}; fingerprint `{self.fingerprint}`",
                f"- Versions: {', '.join(f'{name} {version}' for name, version in self.versions.items())}",
                "",
                "| file | bytes | SHA-256 |",
                "|---|---|---|",
                *files,
                "",
                "Replay on another machine: `auricle export --verify FOLDER`.",
                "",
            ]
        )

    def _meaning(self) -> list[str]:
        """What the errors mean, and what is lost in a smaller form."""
        if not self.quantized:
            return [
                f"Largest absolute difference from the source in PyTorch, {self.precision}. "
                "An export that exceeds a limit is refused."
            ]
        loss = self.quantized["loss"]
        lines = [
            f"**Not equal to its source.** Form: {self.precision}.",
            "",
            f"- Measured on {loss['clips']} clips: {self.quantized['scored_on']}; labels: {loss['labels']}.",
            f"- The top answer agrees with the source on {100 * loss['top1_agreement']:.1f} % of them.",
            f"- Mean cosine of the embeddings with those of the source: {loss['embedding_cosine']:.4f}.",
        ]
        if loss["map"] is not None:
            lost = loss["source_map"] - loss["map"]
            lines.append(
                f"- Mean average precision {loss['map']:.4f}, source {loss['source_map']:.4f}: {lost:+.4f} lost."
            )
        if self.quantized["ranges_of"]:
            lines.append(f"- Ranges of the activations: {self.quantized['ranges_of']}.")
        lines += [
            "",
            "Largest absolute difference from the source in PyTorch, by clip. No limit applies to it. The last row is for",
        ]
        lines.append(
            f"`--verify`, which compares a replay with what this graph itself gave here: {self.quantized['replay']}."
        )
        return lines

    def _tried(self) -> list[str]:
        if not self.tried:
            return []
        rows = ["| tried | MB | top answer agrees | mAP lost | ms a clip |", "|---|---|---|---|---|"]
        for trial in self.tried:
            loss = trial["loss"]
            if loss is None:
                rows.append(f"| {trial['form']} | | failed: {trial['failed']} | | |")
                continue
            lost = "" if loss["map"] is None else f"{loss['source_map'] - loss['map']:+.4f}"
            agrees = f"{100 * loss['top1_agreement']:.1f} %"
            rows.append(
                f"| {trial['form']} | {trial['bytes'] / 1e6:.2f} | {agrees} | {lost} | {trial['milliseconds']:.1f} |"
            )
        return [*rows, ""]


def largest_errors(clips: Sequence[ClipErrors]) -> Errors:
    """Return the largest error of each output, of the clips that have it."""
    names = {name: None for clip in clips for name in clip.errors}
    return {name: max(clip.errors[name] for clip in clips if name in clip.errors) for name in names}


def errors_of(source: Outputs, exported: Outputs) -> Errors:
    """Return the largest absolute difference of each output of the source."""
    found = {}
    for name, value in source.items():
        other = exported[name]
        same = other.shape == value.shape and bool(np.isfinite(other).all())
        found[name] = float(np.abs(other.astype(np.float64) - value).max(initial=0.0)) if same else float("inf")
    return found


def excess(source: Outputs, errors: Errors, tolerances: Errors) -> dict[str, tuple[float, float]]:
    """Return (error, limit) of the outputs whose error exceeds its limit."""
    found = {}
    for name, error in errors.items():
        scale = max(1.0, float(np.abs(source[name]).max(initial=0.0))) if name in RELATIVE else 1.0
        limit = _tolerance(tolerances, name) * scale
        if not error <= limit:
            found[name] = error, limit
    return found


def compared(
    clips: dict[str, np.ndarray],
    source: dict[str, Outputs],
    exported: Callable[[np.ndarray], Outputs],
    description: Description,
    tolerances: Errors = TOLERANCES,
) -> tuple[tuple[ClipErrors, ...], list[str]]:
    """Compare the outputs of an exported graph with those of its source.

    Args:
        clips: (S,) int16 by name; source: what the source gave for each.
        exported: runs one clip.
        tolerances: limits by kind of output.

    Returns:
        The errors of each clip, and a sentence for every limit that is exceeded.
    """
    found, failures = [], []
    for name, wave in clips.items():
        result = exported(wave)
        errors = errors_of(source[name], result)
        for output, (error, limit) in excess(source[name], errors, tolerances).items():
            failures.append(f"{output} of the clip '{name}' differ by {error:.1e}, the limit is {limit:.0e}")
        seconds = len(wave) / description.sample_rate
        found.append(ClipErrors(name, seconds, len(result["embedding"]), errors))
    return tuple(found), failures


def files_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of the files of a folder and of those in it, but of the certificate itself."""
    return {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in (FILE, PAGE)
    }


def this_machine() -> str:
    """Return system and processor, without the name of the machine."""
    return f"{platform.system()} {platform.machine()}"


def _tolerance(tolerances: Errors, output: str) -> float:
    """The limit of an output: those of other heads have names such as "scores_birds"."""
    return tolerances.get(output) or tolerances[output.partition("_")[0]]
