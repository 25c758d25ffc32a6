"""Manifests from tables, folders and lists, and back to CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from auricle.audio.decode.decode import AUDIO_SUFFIXES
from auricle.core.errors import AuricleError, nearest
from auricle.data.manifest.columns import FIELDS, clip_of, find_columns, row_of
from auricle.data.manifest.labels import join_labels, read_class_list
from auricle.data.manifest.manifest import Clip, Manifest, ManifestWarning
from auricle.data.manifest.tables import TABLES, check_table, read_table, text_file, write_parquet

SPLIT_FOLDERS = frozenset({"train", "training", "valid", "validation", "val", "dev", "test", "eval", "evaluation"})
SURROGATES = re.compile("[\ud800-\udfff]")  # how Python spells bytes of a file name that are not UTF-8
Source = str | Path | Sequence[Any]


def read_manifest(
    source: Source,
    *,
    labels: str | Path | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    classes: str | Path | Sequence[str] | None = None,
    root: str | Path | None = None,
) -> Manifest:
    """The manifest of a table (CSV, TSV, Parquet), a folder, one audio file, or a list of paths.

    A folder holding ``manifest.csv`` is read through it (a prepared folder, the synthetic corpus); any other folder is
    searched for audio, else for ``.npy`` spectrograms; a folder of folders labels its clips with the folders' names.
    ``labels`` is a table joined to the clips by id or file name. ``root`` is where relative paths start: by default the
    table's own folder (or its sub-folder ``audio`` when the files stand there).

    Issues ManifestWarning for leaking groups and rows or files without a partner. Raises AuricleError for what
    cannot be read, an absent root, unknown columns and duplicate ids.
    """
    named = {"label_column": label_column, "group_column": group_column}
    if labels is None:
        manifest = _manifest_of(source, root, **named)
    else:
        manifest = join_labels(_manifest_of(source, root), _label_table(Path(labels), **named), Path(labels).name)
    if classes is not None:
        manifest = replace(manifest, classes=read_class_list(classes))
    manifest = replace(manifest, notes=(*manifest.notes, *manifest.leaks()))
    for note in manifest.notes:
        warnings.warn(note, ManifestWarning, stacklevel=2)
    return manifest


def write_manifest(manifest: Manifest, path: str | Path) -> Path:
    """Write CSV, TSV or Parquet (by suffix), through a temporary name. Paths become relative to the file's folder.

    A given class list is written beside it as ``<name>.classes.txt``. TSV is MAE-AST's form (root on the first line,
    then path and number of samples), so it holds nothing else.
    """
    path = Path(path)
    check_table(path)
    if path.suffix.lower() == ".tsv":
        _write_tsv(manifest, path)
        return path
    alone = path.exists() and not any(path.with_suffix(suffix).exists() for suffix in TABLES if suffix != path.suffix)
    rows = [row_of(clip) for clip in _rebased(manifest, path.parent)]
    columns = [name for name in FIELDS if name == "id" or any(name in row for row in rows)]
    if path.suffix.lower() == ".parquet":
        write_parquet([{name: row.get(name) for name in columns} for row in rows], path)
    else:
        _write_csv(rows, columns, path)
    if manifest.classes is None and alone:  # a list is of another manifest that stood here
        _classes_file(path).unlink(missing_ok=True)
    elif manifest.classes is not None:
        with text_file(_classes_file(path)) as file:
            file.writelines(f"{name}\n" for name in manifest.classes)
    return path


def _manifest_of(
    source: Source, root: str | Path | None, *, label_column: str | None = None, group_column: str | None = None
) -> Manifest:
    named = {"label_column": label_column, "group_column": group_column}
    if not isinstance(source, (str, Path)):
        return _from_list(source, Path(root or "."))
    path = Path(source)
    if not path.exists():
        raise AuricleError(f"{path} does not exist{_near(path)}")
    if path.is_dir() and (path / "manifest.csv").is_file():
        return _from_table(path / "manifest.csv", root, **named)
    if path.suffix.lower() in TABLES:
        return _from_table(path, root, **named)
    if any(named.values()):
        raise AuricleError(f"{path} is not a table, so it has no columns; name the table with labels=… (--labels)")
    return _from_folder(path) if path.is_dir() else _from_list([path.name], path.parent)


def _from_table(path: Path, root: str | Path | None, **named: str | None) -> Manifest:
    """CSV, Parquet, a TSV with a header, or MAE-AST's TSV whose first line is the root."""
    if path.suffix.lower() == ".tsv" and (first := _root_line(path)) is not None:
        return _from_mae_ast(path, Path(root or first))
    clips = tuple(_clips(read_table(path), path.name, **named))
    base = _checked_root(root) if root is not None else _root_of(path.parent, clips)
    names = _classes_file(path)
    return Manifest(clips, base, read_class_list(names) if names.is_file() else None)


def _label_table(path: Path, **named: str | None) -> Manifest:
    return Manifest(tuple(_clips(read_table(path), path.name, **named)))


def _clips(rows: Iterable[Mapping[str, Any]], where: str, **named: str | None) -> Iterator[Clip]:
    columns: dict[str, str] | None = None
    for number, row in enumerate(rows, start=2):  # line 1 is the header
        columns = columns or find_columns(list(row), where, **named)
        yield clip_of(row, columns, f"{where} line {number}")
    if columns is None:
        raise AuricleError(f"{where} has no rows: it lists no clips")


def _root_of(folder: Path, clips: Sequence[Clip]) -> Path:
    """``folder``, or its sub-folder ``audio`` when the first clip that has a relative path stands only there."""
    first = next((clip.path for clip in clips if clip.path and not Path(clip.path).is_absolute()), None)
    inside = first is not None and not (folder / first).exists() and (folder / "audio" / first).exists()
    return folder / "audio" if inside else folder


def _root_line(path: Path) -> str | None:
    """The root of MAE-AST's TSV, None for a table with a header. Raises AuricleError where the root was left out."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline().strip()
    name, tab, samples = first.rpartition("\t")
    if tab and _is_count(samples) and "\t" not in name:
        raise AuricleError(
            f"{path} begins with a clip ({first!r}); its first line must be the root folder of the paths ('/' for absolute "
            "ones), or the header of a table"
        )
    return first if first and not tab else None


def _is_count(text: str) -> bool:
    return text.strip().isascii() and text.strip().isdecimal()


def _from_mae_ast(path: Path, root: Path) -> Manifest:
    """Line 1 the root folder, then path<TAB>number of samples (specification mae_ast, "Manifest")."""
    clips = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise AuricleError(f"cannot read {path}: it is not UTF-8 text ({error.reason} at byte {error.start})") from None
    for number, line in enumerate(lines, start=1):
        if number > 1 and line.strip():
            name, tab, samples = line.rstrip("\r\n").partition("\t")
            if not tab or not _is_count(samples):
                raise AuricleError(
                    f"{path.name} line {number}: expected path<TAB>number of samples, found {line.strip()!r}"
                )
            clips.append(Clip(id=name, path=name, num_samples=int(samples)))
    if not clips:
        raise AuricleError(f"{path} lists no clips: below its root it holds one path<TAB>number of samples a line")
    return Manifest(tuple(clips), _checked_root(path.parent / root))


def _from_list(items: Sequence[Any], root: Path) -> Manifest:
    """Paths, Clips or rows (mappings), mixed as you like."""
    clips = []
    for number, item in enumerate(items):
        where = f"item {number}"
        row = (
            item if isinstance(item, Mapping) else {"path": os.fspath(item)} if isinstance(item, (str, Path)) else None
        )
        if row is None and not isinstance(item, Clip):
            raise AuricleError(f"{where} of the list is a {type(item).__name__}; expected a path, a mapping or a Clip")
        clips.append(item if row is None else clip_of(row, find_columns(list(row), where), where))
    if not clips:
        raise AuricleError("the list of clips is empty")
    return Manifest(tuple(clips), _checked_root(root))


def _from_folder(folder: Path) -> Manifest:
    names = list(files_below(folder, AUDIO_SUFFIXES)) or list(files_below(folder, (".npy", ".npz")))
    if not names:
        raise AuricleError(f"no audio in {folder}: looked for {', '.join(sorted(AUDIO_SUFFIXES))} in it and below")
    names, notes = spelt_in_utf8(names)
    if not names:
        raise AuricleError(f"no audio in {folder} that can be used: {notes[0]}")
    tops = {name.split("/")[0] for name in names}
    one_split = all(name.count("/") > 1 for name in names) and all(top.lower() in SPLIT_FOLDERS for top in tops)
    labelled = one_split or (len(tops) > 1 and all("/" in name for name in names))
    rows: list[dict[str, Any]] = [{"path": name, **(_folder_labels(name) if labelled else {})} for name in names]
    clips = tuple(clip_of(row, {field: field for field in row}, row["path"]) for row in rows)
    return Manifest(clips, folder, notes=notes)


def spelt_in_utf8(names: Iterable[str]) -> tuple[list[str], tuple[str, ...]]:
    """The names that a table can hold, and a note on the others (of old archives, mostly)."""
    good: list[str] = []
    strange: list[str] = []
    for name in names:
        (strange if SURROGATES.search(name) else good).append(name)
    shown = ascii(strange[0]) if strange else ""
    note = f"{len(strange)} files are left out: their names are not UTF-8, such as {shown}; rename them"
    return good, (note,) if strange else ()


def files_below(folder: Path, suffixes: Iterable[str]) -> Iterator[str]:
    """Relative paths in sorted order, hidden files and folders left out; links are followed, each folder once."""
    wanted = tuple(suffixes)
    seen = set()
    for base, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(base)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and real not in seen)
        if real in seen:
            continue
        seen.add(real)
        for name in sorted(files):
            if name.lower().endswith(wanted) and not name.startswith("."):
                yield (Path(base) / name).relative_to(folder).as_posix()


def _folder_labels(name: str) -> dict[str, Any]:
    """{"labels": ["dog"]} of dog/a.wav, {"split": "train", "labels": ["dog"]} of train/dog/a.wav."""
    parts = name.split("/")
    if parts[0].lower() not in SPLIT_FOLDERS:
        return {"labels": [parts[0]]}
    return {"split": parts[0]} | ({"labels": [parts[1]]} if len(parts) > 2 else {})


def _classes_file(path: Path) -> Path:
    return path.with_suffix(".classes.txt")


def _checked_root(root: str | Path) -> Path:
    if not Path(root).is_dir():
        raise AuricleError(f"the root folder {root} does not exist{_near(Path(root))}")
    return Path(root)


def _near(path: Path) -> str:
    """'; did you mean …?' with names that stand in the same folder."""
    try:
        return nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    except OSError:
        return f"; nor does its folder {path.parent}"


def _rebased(manifest: Manifest, folder: Path) -> Iterator[Clip]:
    """The clips with paths relative to ``folder``."""
    here, root = folder.resolve(), manifest.root.resolve()
    if here == root:
        yield from manifest
        return
    for clip in manifest:
        path = None if clip.path is None else Path(os.path.relpath(root / clip.path, here)).as_posix()
        store = None if clip.key is None else Path(os.path.relpath(root / (clip.store or ""), here)).as_posix()
        yield replace(clip, path=path, store=store)


def _write_csv(rows: list[dict[str, str]], columns: list[str], path: Path) -> None:
    with text_file(path) as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_tsv(manifest: Manifest, path: Path) -> None:
    lacking = [clip.id for clip in manifest if clip.num_samples is None or clip.path is None]
    if lacking:
        raise AuricleError(
            f"a TSV holds path and number of samples, but {len(lacking)} clips lack them: {lacking[0]}, …"
        )
    if cut := [clip.id for clip in manifest if clip.start is not None or clip.end is not None]:
        raise AuricleError(f"a TSV holds whole files, but {len(cut)} clips are parts of one: {cut[0]}, …")
    with text_file(path) as file:
        file.write(f"{manifest.root.resolve()}\n")
        file.writelines(f"{clip.path}\t{clip.num_samples}\n" for clip in manifest)
