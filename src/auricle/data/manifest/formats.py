"""Read manifests from tables, folders and lists, and write them as CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from auricle.audio.arrays import is_table
from auricle.audio.sources import is_path
from auricle.core.errors import AuricleError, nearest
from auricle.core.io import path_of
from auricle.data.manifest.clip_table import ClipTable, TableBuilder, merged_rows
from auricle.data.manifest.folders import folder_manifest, spelt_in_utf8
from auricle.data.manifest.label_cells import LabelNote
from auricle.data.manifest.labels import join_labels, keep_whole_names, read_class_list
from auricle.data.manifest.locate import locate
from auricle.data.manifest.manifest import Clip, Manifest, ManifestWarning
from auricle.data.manifest.rows import cell_of, clip_of, find_columns
from auricle.data.manifest.tables import (
    CHUNK,
    TABLES,
    check_table,
    named_class,
    refuse_spreadsheet,
    text_file,
    write_parquet,
)
from auricle.data.manifest.tables.clips import read_clips
from auricle.data.manifest.tables.json_rows import part_of

Source = str | Path | Sequence[Any]


def read_manifest(
    source: Source,
    *,
    labels: str | Path | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    classes: str | Path | Sequence[str] | None = None,
    root: str | Path | None = None,
    label_notes: bool = True,
) -> Manifest:
    """Read the manifest of a table (CSV, TSV, JSON, Parquet), a data frame, a folder, one audio file, or a list of paths.

    A folder holding ``manifest.csv`` is read through it (a prepared folder, the synthetic corpus), and so is one of HEAR's
    tasks through its lists; any other folder is searched for audio, else for ``.npy`` spectrograms; a folder of folders
    labels its clips with the folders' names, and label tracks beside recordings (``label_tracks``) give their events. Several
    rows about one clip (a row per event or label) become one clip.

    Args:
        source: The table, folder, file or list.
        labels: A table that is joined to the clips by id or file name.
        label_column: Column of the labels, where it has another name than ``label``, ``labels``, ``category``, ...
        group_column: Column of the groups.
        classes: Class list in the order of the logits, or a file of it.
        root: Where relative paths start; by default the table's folder, or its sub-folder ``audio`` (or the like) when the
            files are there.
        label_notes: False where labels are not needed: notes about them are left out.

    Returns:
        The manifest. ManifestWarning is issued for groups in several splits, for rows or files without a partner, and
        for what was understood in another way than it is written.

    Raises:
        AuricleError: The source cannot be read, the root is missing, a column is unknown, or ids repeat.

    Example:
        >>> manifest = read_manifest("esc10/audio", labels="esc10/meta.csv")
    """
    named = {"label_column": label_column, "group_column": group_column}
    if labels is None:
        manifest = _manifest_of(source, root, **named)
    else:
        table = read_clips(path_of(labels), **named)
        manifest = join_labels(_manifest_of(source, root), Manifest(table.clips), Path(labels).name, table.youtube)
        manifest = replace(manifest, notes=(*manifest.notes, *table.notes))
    if classes is not None:
        manifest = replace(manifest, classes=read_class_list(classes))
    manifest = keep_whole_names(manifest)
    notes = [note for note in manifest.notes if label_notes or not isinstance(note, LabelNote)]
    manifest = replace(manifest, notes=(*notes, *manifest.leaks()))
    for note in manifest.notes:
        warnings.warn(note, ManifestWarning, stacklevel=2)
    return manifest


def write_manifest(manifest: Manifest, path: str | Path) -> Path:
    """Write CSV, TSV or Parquet (by suffix), through a temporary name. Paths become relative to the file's folder.

    A class list is written beside it as ``<name>.classes.txt``. TSV is MAE-AST's form (root on the first line,
    then path and number of samples), so it holds nothing else.

    Args:
        manifest: The clips.
        path: The file to write.

    Returns:
        ``path``.

    Raises:
        AuricleError: The suffix is not one of a table, or the clips do not fit a TSV.
    """
    path = Path(path)
    check_table(path)
    if path.suffix.lower() == ".tsv":
        _write_tsv(manifest, path)
        return path
    alone = path.exists() and not any(path.with_suffix(suffix).exists() for suffix in TABLES if suffix != path.suffix)
    table = _rebased(manifest, path.parent)
    names = list(table.columns) or ["id"]
    if path.suffix.lower() == ".parquet":
        write_parquet({name: [cell_of(name, value) or None for value in table.values(name)] for name in names}, path)
    else:
        with text_file(path) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            writer.writerows(map(cell_of, names, row) for row in table.rows(*names))
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
    if not isinstance(source, (str, os.PathLike)):
        return _from_list(source, Path(root or "."))
    path = path_of(source)
    if not os.path.exists(path):
        raise AuricleError(f"{path} does not exist{_near(path)}")
    if path.is_dir() and (path / "manifest.csv").is_file():
        return _from_table(path / "manifest.csv", root, **named)
    if path.suffix.lower() in TABLES:
        return _from_table(path, root, **named)
    refuse_spreadsheet(path)
    tracked = path.is_dir() and group_column is None and not (path / HEAR_TASK).is_file()
    if any(named.values()) and not tracked:
        raise AuricleError(f"{path} is not a table, so it has no columns; name the table with labels=… (--labels)")
    if path.is_dir():
        return _from_hear(path) if (path / HEAR_TASK).is_file() else folder_manifest(path, label_column)
    names, notes = spelt_in_utf8([path.name])
    if not names:
        raise AuricleError(notes[0])
    return _from_list(names, path.parent)


def _from_table(path: Path, root: str | Path | None, **named: str | None) -> Manifest:
    """Read a CSV, JSON, Parquet or TSV file with a header, or MAE-AST's TSV, whose first line is the root."""
    try:
        first = _root_line(path) if path.suffix.lower() == ".tsv" else None
        if first is not None:
            return _from_mae_ast(path, Path(root or first))
    except OSError as error:
        raise AuricleError(f"cannot read {path}: {error.strerror or error}") from None
    table = read_clips(path, **named)
    folder = _checked_root(root) if root is not None else path.parent
    clips, base, notes = locate(
        table.clips,
        folder,
        fixed=root is not None,
        part=path.stem if path.suffix == ".json" else "",
        youtube=table.youtube,
    )
    names = _classes_file(path)
    classes = read_class_list(names) if names.is_file() else None
    return Manifest(clips, base, classes, (*table.notes, *notes))


HEAR_TASK = "task_metadata.json"


def _from_hear(folder: Path) -> Manifest:
    """Read a task of HEAR: train.json, valid.json and test.json or fold00.json …, with recordings in <rate>/<part>."""
    lists = sorted(path for path in folder.glob("*.json") if part_of(path))
    if not lists:
        raise AuricleError(f"{folder} holds {HEAR_TASK}, but no list such as train.json or fold00.json")
    parts = [_from_table(path, None) for path in lists]
    tables = [_rebased(part, folder) for part in parts]
    tables = [table.with_column("id", table.values("path")) for table in tables]
    vocabulary = folder / "labelvocabulary.csv"
    classes = read_class_list(vocabulary) if vocabulary.is_file() else None
    return Manifest(tuple(chain(*tables)), folder, classes, tuple(note for part in parts for note in part.notes))


def _root_line(path: Path) -> str | None:
    """Return the root of MAE-AST's TSV, or None for a table with a header. Raises AuricleError if the root is missing."""
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
    return text.strip().isascii() and text.strip().isdecimal() and len(text.strip()) <= 18


def _from_mae_ast(path: Path, root: Path) -> Manifest:
    """Read MAE-AST's TSV: the root folder, then path<TAB>number of samples ([mae_ast 8](docs/specification/mae_ast.md#s8))."""
    names, samples = [], []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise AuricleError(f"cannot read {path}: it is not UTF-8 text ({error.reason} at byte {error.start})") from None
    for number, line in enumerate(lines, start=1):
        if number > 1 and line.strip():
            name, tab, count = line.rstrip("\r\n").partition("\t")
            if not tab or not _is_count(count):
                raise AuricleError(
                    f"{path.name} line {number}: expected path<TAB>number of samples, found {line.strip()!r}"
                )
            names.append(name)
            samples.append(int(count.strip()))
    if not names:
        raise AuricleError(f"{path} lists no clips: below its root it holds one path<TAB>number of samples a line")
    builder = TableBuilder()
    for i in range(0, len(names), CHUNK):
        part = slice(i, i + CHUNK)
        builder.add(len(names[part]), {"id": names[part], "path": names[part], "num_samples": samples[part]})
    return Manifest(builder.table(), _checked_root(path.parent / root))


def _from_list(items: Sequence[Any], root: Path) -> Manifest:
    """Read a list of paths, Clips and rows (mappings), such as a data set of Hugging Face, or the rows of a data frame."""
    items = _records(items) if is_table(items) else items
    features = getattr(items, "features", None)
    classes = {
        name: feature.names
        for name, feature in (features.items() if isinstance(features, Mapping) else ())
        if hasattr(feature, "names")
    }
    clips, has_rows = [], False
    for number, item in enumerate(items):
        where = f"item {number}"
        row = item if isinstance(item, Mapping) else {"path": str(path_of(item))} if is_path(item) else None
        if row is None and not isinstance(item, Clip):
            raise AuricleError(f"{where} of the list is a {type(item).__name__}; expected a path, a mapping or a Clip")
        has_rows = has_rows or isinstance(item, Mapping)
        if row is not None:
            row = {name: named_class(cell, classes[name]) if name in classes else cell for name, cell in row.items()}
            item = clip_of(row, find_columns(list(row), where), where)
        clips.append(item)
    if not clips:
        raise AuricleError("the list of clips is empty")
    table, notes = merged_rows(ClipTable.of(clips), "the list") if has_rows else (ClipTable.of(clips), ())
    return Manifest(table, _checked_root(root), notes=notes)


def _records(table: Any) -> list[Mapping[str, Any]]:
    """Return the rows of a data frame (pandas, polars) or of a table of PyArrow."""
    for method, arguments in (("to_pylist", ()), ("to_dicts", ()), ("to_dict", ("records",))):
        if hasattr(table, method):
            return list(getattr(table, method)(*arguments))
    raise AuricleError(f"a {type(table).__name__} cannot be read as a table; write it to a CSV file")


def _classes_file(path: Path) -> Path:
    return path.with_suffix(".classes.txt")


def _checked_root(root: str | Path) -> Path:
    if not Path(root).is_dir():
        raise AuricleError(f"the root folder {root} does not exist{_near(Path(root))}")
    return Path(root)


def _near(path: Path) -> str:
    """Return '; did you mean …?' with names from the same folder."""
    try:
        return nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    except OSError:
        return f"; nor does its folder {path.parent}"


def _rebased(manifest: Manifest, folder: Path) -> ClipTable:
    """Return the clips with paths relative to ``folder``."""
    here, root, table = folder.resolve(), manifest.root.resolve(), manifest.table
    if here == root:
        return table

    def moved(path: str) -> str:
        if "://" in path:  # the address of a shard
            return path
        return Path(os.path.relpath(root / path, here)).as_posix()

    if "path" in table.columns:
        table = table.with_column("path", (path and moved(path) for path in table.values("path")))
    if "key" in table.columns:
        stores = table.rows("store", "key")
        table = table.with_column("store", (None if key is None else moved(store or "") for store, key in stores))
    return table


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
