"""``auricle prepare list`` and ``as-list``: the files of a folder, the weighted AudioSet list.

Source: [m2d 1.4](docs/specification/m2d.md#s1-4), [8.4](docs/specification/m2d.md#s8-4).
"""

from __future__ import annotations

import csv
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

from auricle.core.errors import AuricleError, nearest
from auricle.core.options import argument, check_ranges, option


@dataclass(frozen=True)
class ListConfig:
    """Which files go into which list."""

    source: str = argument("folder whose files are listed, itself and below")
    out: str = option(help="list to write (CSV)")
    root: str | None = option(
        None,
        "folder that the names start from, or auto: the folder of the list",
        special={"auto": None},
        old={"": None},
    )
    suffix: str = option(".npy", "suffix of the files (.npz for the published speech layout)")
    overwrite: bool = option(False, "replace a list that exists and has other content")


@dataclass(frozen=True)
class AsListConfig:
    """The weighted AudioSet list."""

    source: str = argument("list of AudioSet files (column file_name; names begin with the 11 characters of the clip)")
    segments: tuple[str, ...] = argument(
        "the official segment lists: eval, balanced_train, unbalanced_train", many=True
    )
    out: str = option("data/files_as_weighted.csv", "list to write (CSV)")
    offset: float = option(
        100.0, "a class with n clips weighs 1000 / (n + OFFSET); 0.01: for fine-tuning, as EVAR's program"
    )
    overwrite: bool = option(False, "replace a list that exists and has other content")

    def __post_init__(self) -> None:
        check_ranges(self, ("offset",), 0)


@dataclass(frozen=True)
class ListResult:
    """Rows written; for AudioSet also the number of classes, and the files that are in no segment list; and folders that
    could not be listed."""

    out: Path
    rows: int
    classes: int = 0
    unknown: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()


def prepare_list(config: ListConfig) -> ListResult:
    """Write a list with the column ``file_name``: the files of a folder, sorted, relative to the data root.

    Raises:
        AuricleError: The folder does not exist, is outside the root or has no such files, or the list exists and would
            change.
    """
    from auricle.audio.sources import files_below, has_suffix
    from auricle.data.manifest.folders import spelt_in_utf8
    from auricle.data.manifest.manifest import ManifestWarning

    folder, out = Path(config.source), Path(config.out)
    root = Path(config.root) if config.root else out.parent
    if not folder.is_dir():
        raise AuricleError(f"{folder} is not a folder{_near(folder)}")
    if not folder.resolve().is_relative_to(root.resolve()):
        raise AuricleError(f"{folder} does not lie in the data root {root}; name another with --root")
    inside = folder.resolve().relative_to(root.resolve())
    suffix = "." + config.suffix.lstrip(".").lower()
    files_inside = sorted((inside / name).as_posix() for name in files_below(folder, (suffix,)))
    names, notes = spelt_in_utf8(name for name in files_inside if has_suffix(name, (suffix,)))
    unlisted = tuple(name for name in files_inside if not has_suffix(name, (suffix,)))
    for note in notes:
        warnings.warn(note, ManifestWarning, stacklevel=2)
    if notes and not names:
        raise AuricleError(notes[0])
    if not names:
        raise AuricleError(f"no {config.suffix} files in {folder} nor below it; 'auricle prepare lms' makes them")
    _write(out, [["file_name"], *([name] for name in names)], config.overwrite)
    return ListResult(out, len(names), unlisted=unlisted)


def prepare_as_list(config: AsListConfig) -> ListResult:
    """Write ``file_name,label,weight`` of every file whose clip is in a segment list, in the order of the list of files.

    Raises:
        AuricleError: A list cannot be read, or no file is in a segment list.
    """
    from auricle.data.audioset import file_names, read_segments, weight_clips

    names, out = file_names(Path(config.source)), Path(config.out)
    rows, unknown = weight_clips(names, read_segments(map(Path, config.segments)), config.offset)
    if not rows:
        raise AuricleError(
            f"the segment lists hold none of the {len(names)} files of {config.source}; the first is '{names[0]}', "
            "file names must begin with the clip's 11 characters"
        )
    table = [
        ["file_name", "label", "weight"],
        *([row.file_name, ",".join(row.labels), repr(row.weight)] for row in rows),
    ]
    _write(out, table, config.overwrite)
    return ListResult(out, len(rows), len({label for row in rows for label in row.labels}), tuple(unknown))


def _write(out: Path, rows: list[list[str]], overwrite: bool) -> None:
    from auricle.core.io import write_text

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    if out.exists() and not overwrite and out.read_text(encoding="utf-8") != text.getvalue():
        raise AuricleError(f"{out} exists and has other content; --overwrite replaces it")
    write_text(out, text.getvalue())


def _near(path: Path) -> str:
    try:
        return nearest(path.name, [entry.name for entry in path.parent.iterdir() if entry.is_dir()])
    except OSError:
        return f"; nor is {path.parent}"
