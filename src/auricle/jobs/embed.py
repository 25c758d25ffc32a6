"""Embeddings of any audio to one file with an index. What is finished is kept in parts, so a stopped run is
continued."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from auricle.atomic import make_folder
from auricle.errors import AuricleError
from auricle.inference.embed_settings import LEVELS, EmbedSettings
from auricle.options import argument, check_choices, check_ranges, option

if TYPE_CHECKING:
    from auricle.data.manifest import Clip, Manifest
    from auricle.inference.embed import ClipEmbedding
    from auricle.models.contract import Encoder

SUFFIXES = (".npy", ".npz", ".parquet")
STDIN = "-"
GO_ON = "run the same command again to go on"
PART_CLIPS = 256  # clips per finished part: what a kill can lose


@dataclass(frozen=True)
class EmbedConfig:
    """What to embed, with which encoder, how, and where it goes."""

    source: tuple[str, ...] = argument("audio files, folders, tables, or - for standard input", many=True)
    out: str = option(help="file to write: .npy, .npz or .parquet; its index stands beside it as NAME.index.json")
    model: str = option("", "encoder: a published name, a weight file or a run folder")
    ensemble: tuple[str, ...] = option((), "several taggers instead of --model; their features stand side by side")
    level: str = option(
        "clip", "clip: one vector per clip; frames: features over time, with their times", choices=LEVELS
    )
    window: float = option(0.0, "a vector for every window of this many seconds; 0: one for the whole clip")
    hop: float = option(0.0, "seconds between the starts of two windows; 0: half a window")
    settings: EmbedSettings = field(default_factory=EmbedSettings)
    weights: str | None = option(None, "local weight file of a published model name")
    overwrite: bool = option(False, "replace an output that other settings or clips made")

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(self, ("window", "hop"), 0)
        if bool(self.model) == bool(self.ensemble):
            raise AuricleError("say with which encoder: --model NAME, or --ensemble NAME NAME …")
        if self.ensemble and self.weights:
            raise AuricleError("--weights belongs to --model; in --ensemble name the files themselves")
        if self.hop and not self.window:
            raise AuricleError("--hop says how far windows are apart: give --window too")
        if Path(self.out).suffix.lower() not in SUFFIXES:
            raise AuricleError(f"--out {self.out}: the name must end in {', '.join(SUFFIXES)}")


@dataclass(frozen=True)
class EmbedResult:
    """out and its index; clips written, of which ``kept`` were finished before; width D; failed {id: what is wrong}."""

    out: Path
    index: Path
    clips: int
    kept: int
    width: int
    failed: dict[str, str]
    notes: tuple[str, ...] = ()


def embed(config: EmbedConfig, *, quiet: bool = False) -> EmbedResult:
    """Embed every clip that can be read. A finished output of the same clips and settings is left as it is.

    Raises AuricleError for a wrong source, model or setting, or an output that something else made.
    """
    with _heard(config) as manifest:
        return _embed(manifest, config, quiet)


@contextmanager
def _heard(config: EmbedConfig) -> Iterator[Manifest]:
    """The clips that are meant, in windows if asked for; standard input as a file for so long."""
    from auricle.inference.given import as_manifest
    from auricle.inference.spans import cut_into_windows

    with TemporaryDirectory() as folder:
        file = Path(folder) / "standard input"
        if STDIN in config.source:
            file.write_bytes(sys.stdin.buffer.read())
        manifest = as_manifest([str(file) if name == STDIN else name for name in config.source])
        manifest = replace(manifest, clips=tuple(_called(clip, manifest, file) for clip in manifest))
        yield cut_into_windows(manifest, config.window, config.hop) if config.window else manifest


def _called(clip: Clip, manifest: Manifest, file: Path) -> Clip:
    return replace(clip, id=STDIN) if clip.path and manifest.audio(clip) == file else clip


def _embed(manifest: Manifest, config: EmbedConfig, quiet: bool) -> EmbedResult:
    from auricle.hub.load import load
    from auricle.inference.embed import gathered
    from auricle.inference.given import as_encoder
    from auricle.jobs.embed_files import index_file, read_index, write_output

    encoder = as_encoder(config.ensemble) if config.ensemble else load(config.model, weights=config.weights)
    out = Path(config.out)
    make_folder(out.parent, "choose another --out")
    said, notes = _described(manifest, encoder, config), manifest.notes_but_leaks()
    before = read_index(out)
    if before and before["made_from"] == said:
        clips = len(before["clips"])
        return EmbedResult(out, index_file(out), clips, clips, before["width"], before["failed"], notes)
    if out.exists() and not config.overwrite:
        raise AuricleError(
            f"{out} exists and was made from other clips or settings; choose another --out, or --overwrite"
        )
    parts = _Parts(out.with_name(f"{out.name}.parts"), said)
    kept = parts.read()
    try:
        results = _embedded(manifest, encoder, config, parts, kept, quiet)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped; of every {PART_CLIPS} clips those that are whole are kept: {GO_ON}"
        ) from None
    found = gathered(manifest.ids, results, encoder, config.settings)
    if not found.ids:
        raise AuricleError(
            f"none of the {len(manifest)} clips could be read; the first: {next(iter(found.failed.values()))}"
        )
    write_output(out, found, said)
    parts.remove()
    width = (found.frames[0] if found.frames else found.clip).shape[1]
    return EmbedResult(out, index_file(out), len(found), len(kept), width, found.failed, notes)


def _described(manifest: Manifest, encoder: Encoder, config: EmbedConfig) -> dict[str, Any]:
    """Everything that decides the output, as JSON values."""
    from auricle.evaluate.cache import describe, stamps_hash

    said = describe(manifest, encoder, config.settings) | {"files": stamps_hash(manifest)}
    return said | {"level": config.level, "layers": list(config.settings.layers), "model": encoder.info.name}


def _embedded(
    manifest: Manifest,
    encoder: Encoder,
    config: EmbedConfig,
    parts: _Parts,
    kept: dict[str, ClipEmbedding],
    quiet: bool,
) -> dict[str, ClipEmbedding]:
    """Results of all clips, saved part by part as they come; failures are tried again by the next run."""
    from auricle.inference.embed import embed_clips, pieces_of
    from auricle.progress import progress

    results: dict[str, ClipEmbedding] = {}
    rest = manifest.select(ids={id for id in manifest.ids if id not in kept})
    pieces, frames = pieces_of(encoder, config.settings), config.level == "frames"
    saved = 0
    with progress(total=len(rest), what="embed", quiet=quiet) as bar:
        for result in embed_clips(rest, encoder, config.settings, pieces, frames=frames):
            results[result.id] = result
            bar.update()
            if len(results) - saved == PART_CLIPS:
                parts.save([r for r in list(results.values())[saved:] if not r.failure])
                saved = len(results)
    return kept | results


@dataclass(frozen=True)
class _Parts:
    """The unfinished output: a folder of safetensors files and the settings they were made with."""

    folder: Path
    said: dict[str, Any]

    def read(self) -> dict[str, ClipEmbedding]:
        """What an earlier run finished with the same settings; parts of other settings are removed."""
        from auricle.jobs.embed_files import read_part

        settings = self.folder / "settings.json"
        if not settings.is_file() or json.loads(settings.read_text(encoding="utf-8")) != self.said:
            self.remove()
            return {}
        return {r.id: r for part in sorted(self.folder.glob("part-*.safetensors")) for r in read_part(part)}

    def save(self, results: list[ClipEmbedding]) -> None:
        from auricle.atomic import write_text
        from auricle.jobs.embed_files import write_part

        settings = self.folder / "settings.json"
        if not settings.exists():
            write_text(settings, json.dumps(self.said))
        write_part(self.folder / f"part-{len(list(self.folder.glob('part-*'))):05d}.safetensors", results)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def as_json(result: EmbedResult) -> dict[str, Any]:
    return asdict(result) | {"out": str(result.out), "index": str(result.index)}
