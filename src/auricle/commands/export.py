"""``auricle export``: a model as one graph for another runtime, with a certificate that it gives the same numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auricle.core.errors import AuricleError, first_line
from auricle.core.io import path_of, replacing_folder, write_text
from auricle.core.options import check_choices, check_ranges, option, paths_as_text
from auricle.exporting.certificate import (
    PAGE,
    TOLERANCES,
    Certificate,
    ClipErrors,
    compared,
    files_of,
    largest_errors,
    this_machine,
)
from auricle.exporting.description import Description
from auricle.exporting.golden import Clips, as_float, golden_clips, read_golden, write_golden
from auricle.exporting.quantization.forms import CHOICES, forms_of
from auricle.exporting.quantization.loss import TaskLoss
from auricle.exporting.runner import readme, runner
from auricle.exporting.runtimes import MODEL_FILES, ONE_SHAPE, Outputs, open_graph, replay, versions
from auricle.exporting.web.bundle import check_classes, write_page
from auricle.exporting.web.runtime_files import RuntimeFiles, runtime_files

if TYPE_CHECKING:
    from auricle.exporting.graph import Graph
    from auricle.exporting.quantization.smaller import SmallerGraph
    from auricle.models.base import Encoder

FINITE = 1e30  # what is lost in a smaller form is stated, not limited; NaN and infinity are refused
FORMATS = tuple(sorted(MODEL_FILES))


@dataclass(frozen=True)
class ExportConfig:
    """Which model, in which format, for which inputs; or a bundle to verify."""

    model: str | None = option(None, "a published name, a weight file or a run folder")
    weights: str | None = option(None, "local weight file of a published name")
    to: str = option(
        "onnx", "format of the graph; web: a folder with a page that runs it in the browser", choices=FORMATS
    )
    out: str | None = option(None, "new folder for the graph, its certificate and its runner")
    frames: bool = option(False, "the graph gives the features of every frame too")
    length: float | None = option(
        None,
        "seconds of the waveform; any: every length, or the export is refused; auto: every length where the model allows it, "
        "else one chunk of the model or 10 s",
        special={"auto": None, "any": math.inf},
    )
    batch_size: int | None = option(
        None, "clips of one call; auto: any number where the model allows it, else 1", special={"auto": None}
    )
    clip: tuple[str, ...] = option((), "recordings that the certificate replays too, 10 s of each")
    runtime_files: str | None = option(
        None, "with --to web: folder or npm archive of onnxruntime-web; otherwise it is downloaded once", advanced=True
    )
    quantize: str = option(
        "none",
        "smaller numbers; the certificate says what is lost. float16, int8-weights: stored smaller, computed in float32; "
        "int8-dynamic, int8-static: products of 8-bit integers; auto: tries all known forms and keeps what loses least",
        choices=CHOICES,
        group="smaller numbers",
    )
    calibrate: tuple[str, ...] = option(
        (),
        "recordings or folders that int8-static fits its ranges on; otherwise those of --clip",
        group="smaller numbers",
    )
    score_on: str | None = option(
        None, "folder or table of recordings that the loss is measured on, 10 s of each", group="smaller numbers"
    )
    labels: str | None = option(
        None,
        "table of labels for --score-on, of classes of the model; without labels the source's own top class is the label",
        group="smaller numbers",
    )
    verify: str | None = option(None, "folder of an earlier export: replay its golden clips on this machine")

    def __post_init__(self) -> None:
        for name in ("clip", "calibrate"):
            files = getattr(self, name)
            object.__setattr__(self, name, (files,) if isinstance(files, (str, os.PathLike)) else tuple(files))
        paths_as_text(self)
        check_choices(self)
        check_ranges(self, ("batch_size",), 1)
        if self.length is not None and not self.length > 0:
            raise AuricleError(f"--length is a number of seconds above 0, any or auto, not {self.length}")
        if self.length == math.inf and self.to in ONE_SHAPE:
            raise AuricleError(f"--length any: a graph for {self.to} has one length; give seconds, such as --length 10")
        if self.verify is None and (self.model is None or self.out is None):
            raise AuricleError(
                "auricle export needs --model MODEL and --out FOLDER (or --verify FOLDER for an earlier export)"
            )
        forms_of(self.to, self.quantize)
        needs = [n for n in ("calibrate", "score_on", "labels") if getattr(self, n) and self.quantize == "none"]
        if needs:
            raise AuricleError(
                f"--{needs[0].replace('_', '-')} is for smaller numbers; give --quantize too, such as auto"
            )
        if self.labels and not self.score_on:
            raise AuricleError("--labels are those of --score-on; give the folder of the recordings with --score-on")
        if self.runtime_files is not None and self.to != "web":
            raise AuricleError(f"--runtime-files is for the page of --to web, not for --to {self.to}")


@dataclass(frozen=True)
class Export:
    """An exported bundle.

    Attributes:
        folder: where it is.
        description: what the graph takes and gives.
        certificate: how far it is from its source.
        trials: the smaller forms that were tried, as text; notes: what should be known.
    """

    folder: Path
    description: Description
    certificate: Certificate
    trials: str = ""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "folder": str(self.folder),
            "to": self.certificate.to,
            "any_length": self.description.samples is None,
            "any_batch": self.description.batch_size is None,
            "largest_errors": self.certificate.largest,
            "files": self.certificate.files,
            "milliseconds": self.certificate.milliseconds,
            "quantized": self.certificate.quantized,
            "tried": list(self.certificate.tried),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        own, times = self.description, self.certificate.milliseconds
        seconds = own.samples and own.samples / own.sample_rate
        clips = "any number of clips" if own.batch_size is None else f"{own.batch_size} clip(s) a call"
        graph = [file["bytes"] for name, file in self.certificate.files.items() if name.startswith("model.")]
        return "\n".join(
            [
                f"{self.folder}: {own.model} for {self.certificate.to}, {sum(graph) / 1e6:.2f} MB",
                f"  takes {'any length' if seconds is None else f'{seconds:.2f} s'} at {own.sample_rate} Hz, {clips}",
                f"  gives {', '.join(own.outputs)}",
                *self._smaller(),
                f"  {_errors_text(self.certificate.clips)}",
                f"  {times['seconds']:g} s of sound: {times['source']:.1f} ms in PyTorch, {times['exported']:.1f} ms exported",
            ]
        )

    def _smaller(self) -> list[str]:
        """Lines about smaller numbers."""
        quantized = self.certificate.quantized
        if not quantized:
            return []
        loss = TaskLoss(**quantized["loss"])
        tried = self.trials.splitlines() if self.certificate.tried else []
        return [f"  {line}" for line in tried] + [
            f"  {quantized['form']}: {loss}; {quantized['scored_on']}; {loss.labels}"
        ]


@dataclass(frozen=True)
class BundleVerification:
    """The golden clips of a bundle, replayed on this machine; prints as text.

    Attributes:
        folder: of the bundle.
        clips: the errors here.
        machine: this one; versions: of the packages here.
    """

    folder: Path
    clips: tuple[ClipErrors, ...]
    machine: str
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        clips = {clip.clip: clip.errors for clip in self.clips}
        return {"folder": str(self.folder), "clips": clips, "machine": self.machine, "versions": self.versions}

    def __str__(self) -> str:
        return f"{self.folder}: verified on {self.machine}\n  {_errors_text(self.clips)}"


def export(
    model: str | Path | Encoder,
    out: str | Path,
    *,
    to: str = "onnx",
    **options: Any,
) -> Export:
    """Export a model as one graph from a waveform to scores and embedding, with a certificate.

    Args:
        model: an Encoder, or what ``auricle.load`` takes.
        out: a new folder.
        to: "litert", "onnx", "openvino", "torch", or "web" (a folder with a page that runs the graph in the browser).
        options: fields of ``ExportConfig``: ``frames``, ``length`` (seconds, None, or ``math.inf`` for any length),
            ``batch_size``, ``clip`` (recordings), ``weights``, ``runtime_files``; ``quantize`` with ``calibrate``, ``score_on`` and
            ``labels``.

    Returns:
        The folder, what the graph takes and gives, and its certificate.

    Raises:
        AuricleError: the folder exists, the format has no operator for the network, or a limit of the certificate is exceeded
            (nothing is left then).
        MissingExtra: the packages of the format are not installed.

    Example:
        bundle = auricle.export("mn04_as", "mn04-onnx", to="onnx")
        print(bundle.certificate.largest)
    """
    text = str(model) if isinstance(model, (str, Path)) else model.info.name
    config = ExportConfig(model=text, out=os.fsdecode(out), to=to, **options)
    return export_model(config, encoder=None if isinstance(model, (str, Path)) else model)


def export_model(config: ExportConfig, *, encoder: Encoder | None = None) -> Export:
    """Do what the config says.

    Args:
        encoder: in place of ``config.model``.

    Raises:
        AuricleError: as ``export``.
    """
    from auricle.exporting.formats import check_installed
    from auricle.exporting.quantization.clips import recordings

    out = path_of(config.out or "")
    if os.path.lexists(out):
        raise AuricleError(f"{out} exists; choose a new folder for --out")
    check_installed(config.to)
    page_runtime = runtime_files(config.runtime_files) if config.to == "web" else None
    source = (encoder or _loaded(config)).to("cpu").eval()
    if page_runtime:
        check_classes(source.info)
    golden, given = golden_clips(source.info.sample_rate), recordings(config.clip, source)
    with replacing_folder(out) as folder:
        description, certificate, kept = _write(config, source, (golden, given), folder, page_runtime)
    return Export(out, description, certificate, *((kept.table, kept.notes) if kept else ()))


def verify_export(folder: str | Path) -> BundleVerification:
    """Replay the golden clips of a bundle in its own runtime. PyTorch is needed for the format ``torch`` alone.

    Raises:
        AuricleError: a file is not what the certificate lists, or a limit is exceeded.
        MissingExtra: the runtime is not installed.
    """
    folder = path_of(folder)
    certificate, description = Certificate.read(folder), Description.read(folder)
    certificate.check_files(folder)
    clips, expected = read_golden(folder, description)
    tolerances = certificate.tolerances if certificate.quantized else TOLERANCES
    try:
        run = open_graph(folder, certificate.to, description, threads=1)
        found, failures = compared(
            clips, expected, lambda wave: replay(run, as_float(wave), description), description, tolerances
        )
    except AuricleError:
        raise
    except Exception as error:  # of the runtime
        raise AuricleError(
            f"{folder / MODEL_FILES[certificate.to][0]} cannot be run here: {first_line(error)}; export the model again, "
            f"or install the versions of {PAGE}"
        ) from error
    recorded = "itself on the machine of the export" if certificate.quantized else "its source"
    _refuse(failures, f"{folder} does not give the numbers of {recorded} here")
    return BundleVerification(folder, found, this_machine(), versions(certificate.to))


def _loaded(config: ExportConfig) -> Encoder:
    from auricle.hub.load import load

    assert config.model is not None
    return load(config.model, weights=config.weights)


def _traced(config: ExportConfig, source: Encoder) -> Graph:
    from auricle.exporting.graph import trace

    any_length = config.length == math.inf
    return trace(
        source,
        length=None if any_length else config.length,
        any_length=any_length,
        batch_size=config.batch_size,
        frames=config.frames,
        one_shape=config.to in ONE_SHAPE,
    )


def _write_around(folder: Path, to: str, description: Description, page_runtime: RuntimeFiles | None) -> None:
    """Write what a bundle holds beside the graph: the page for a browser, else an example that runs the graph, and a README."""
    if page_runtime:
        write_page(folder, description, page_runtime)
    else:
        write_text(folder / "run.py", runner(to))
        write_text(folder / "README.md", readme(to, description))


def _write(
    config: ExportConfig, source: Encoder, given: tuple[Clips, Clips], folder: Path, page_runtime: RuntimeFiles | None
) -> tuple[Description, Certificate, SmallerGraph | None]:
    import torch

    from auricle.exporting.formats import write_graph
    from auricle.exporting.quantization.smaller import Wanted, write_smaller
    from auricle.exporting.source import source_outputs, timed

    graph, clips = _traced(config, source), given[0] | given[1]
    from auricle.detectors.files import learnt_clip_seconds

    description = replace(graph.description, clip_seconds=learnt_clip_seconds(config.model or ""))
    kept, threads = None, torch.get_num_threads()
    tolerances = _tolerances(description)
    if config.quantize == "none":
        write_graph(graph, config.to, folder)
        run = open_graph(folder, config.to, description, threads=threads)
    else:
        wanted = Wanted(config.quantize, config.calibrate, config.score_on, config.labels, threads)
        kept = write_smaller(graph, config.to, folder, source, wanted, *given)
        run = kept.run
    expected = {name: source_outputs(source, as_float(wave), description) for name, wave in clips.items()}

    def replayed(wave: np.ndarray) -> Outputs:
        return replay(run, as_float(wave), description)

    limits = dict.fromkeys(tolerances, FINITE) if kept else tolerances
    found, failures = compared(clips, expected, replayed, description, limits)
    _refuse(failures, f"the export of {source.info.name} to {config.to} is refused, nothing was kept")
    if kept:
        tolerances = kept.replay_limits(clips, description, tolerances)
        expected = {name: replayed(wave) for name, wave in clips.items()}
    description.write(folder)
    write_golden(folder, clips, expected)
    _write_around(folder, config.to, description, page_runtime)
    certificate = Certificate.of(
        description,
        to=config.to,
        precision=kept.form.precision if kept else "float32",
        clips=found,
        tolerances=tolerances,
        files=files_of(folder),
        milliseconds=timed(source, run, description),
        versions=versions(config.to) | ({"onnxruntime-web": page_runtime.version} if page_runtime else {}),
        machine=this_machine(),
        quantized=kept.facts if kept else {},
        tried=tuple(trial.to_json() for trial in kept.trials) if kept else (),
    )
    certificate.write(folder)
    return description, certificate, kept


def _tolerances(description: Description) -> dict[str, float]:
    kinds = {name.partition("_")[0] for name in description.outputs}
    return {name: limit for name, limit in TOLERANCES.items() if name in kinds}


def _refuse(failures: list[str], what: str) -> None:
    if failures:
        more = f" ({len(failures) - 1} more)" if len(failures) > 1 else ""
        raise AuricleError(f"{what}: {failures[0]}{more}")


def _errors_text(clips: Sequence[ClipErrors]) -> str:
    return "largest errors: " + ", ".join(f"{name} {error:.1e}" for name, error in largest_errors(clips).items())
