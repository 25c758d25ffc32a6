"""Read manifests from tables, folders and lists, and write them as CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import gc
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.audio.sources import files_below
from auricle.core.errors import AuricleError, nearest
from auricle.data.manifest.clip_table import ClipTable, TableBuilder
from auricle.data.manifest.labels import join_labels, read_class_list
from auricle.data.manifest.manifest import Clip, Manifest, ManifestWarning
from auricle.data.manifest.rows import cell_of, clip_columns, clip_of, find_columns
from auricle.data.manifest.tables import CHUNK, TABLES, Chunk, check_table, read_chunks, text_file, write_parquet

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
    """Read the manifest of a table (CSV, TSV, Parquet), a folder, one audio file, or a list of paths.

    A folder holding ``manifest.csv`` is read through it (a prepared folder, the synthetic corpus); any other folder is
    searched for audio, else for ``.npy`` spectrograms; a folder of folders labels its clips with the folders' names.

    Args:
        source: The table, folder, file or list.
        labels: A table that is joined to the clips by id or file name.
        label_column: Column of the labels, where it has another name than ``label``, ``labels``, ``category``, ...
        group_column: Column of the groups.
        classes: Class list in the order of the logits, or a file of it.
        root: Where relative paths start; by default the table's folder, or its sub-folder ``audio`` when the files are
            there.

    Returns:
        The manifest. ManifestWarning is issued for groups in several splits and for rows or files without a partner.

    Raises:
        AuricleError: The source cannot be read, the root is missing, a column is unknown, or ids repeat.

    Example:
        >>> manifest = read_manifest("esc10/audio", labels="esc10/meta.csv")
    """
    named = {"label_column": label_column, "group_column": group_column}
    if labels is None:
        manifest = _manifest_of(source, root, **named)
    else:
        manifest = join_labels(
            _manifest_of(source, root), Manifest(_table_of(Path(labels), **named)), Path(labels).name
        )
    if classes is not None:
        manifest = replace(manifest, classes=read_class_list(classes))
    manifest = replace(manifest, notes=(*manifest.notes, *manifest.leaks()))
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
    """Read a CSV, Parquet or TSV file with a header, or MAE-AST's TSV, whose first line is the root."""
    if path.suffix.lower() == ".tsv" and (first := _root_line(path)) is not None:
        return _from_mae_ast(path, Path(root or first))
    table = _table_of(path, **named)
    base = _checked_root(root) if root is not None else _root_of(path.parent, table)
    names = _classes_file(path)
    return Manifest(table, base, read_class_list(names) if names.is_file() else None)


def _table_of(path: Path, **named: str | None) -> ClipTable:
    """Read the clips of a CSV, TSV or Parquet file with a header."""
    builder = TableBuilder()
    columns: dict[str, str] | None = None
    with _without_garbage_collection():
        for chunk in read_chunks(path):
            columns = columns or find_columns(chunk.header, path.name, **named)
            cells = {field: chunk.cells(column) for field, column in columns.items()}
            try:
                builder.add(chunk.num_rows, clip_columns(cells, chunk.num_rows))
            except (ValueError, TypeError, csv.Error):  # row by row, for an error that names the row and the column
                builder.add_clips(_clips_of(chunk, columns, path.name, 2 + builder.count))
    if columns is None:
        raise AuricleError(f"{path.name} has no rows: it lists no clips")
    return builder.table()


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector: millions of short lists without cycles would start it again and again, a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _clips_of(chunk: Chunk, columns: Mapping[str, str], where: str, first_line: int) -> Iterator[Clip]:
    for number, row in enumerate(zip(*chunk.columns), start=first_line):
        yield clip_of(dict(zip(chunk.header, row)), columns, f"{where} line {number}")


def _root_of(folder: Path, table: ClipTable) -> Path:
    """Return ``folder``, or its sub-folder ``audio`` when the first clip with a relative path exists only there."""
    first = next((path for path in table.values("path") if path and not path.startswith("/")), None)
    inside = first is not None and not (folder / first).exists() and (folder / "audio" / first).exists()
    return folder / "audio" if inside else folder


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
    return text.strip().isascii() and text.strip().isdecimal()


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
            samples.append(int(count))
    if not names:
        raise AuricleError(f"{path} lists no clips: below its root it holds one path<TAB>number of samples a line")
    builder = TableBuilder()
    for i in range(0, len(names), CHUNK):
        part = slice(i, i + CHUNK)
        builder.add(len(names[part]), {"id": names[part], "path": names[part], "num_samples": samples[part]})
    return Manifest(builder.table(), _checked_root(path.parent / root))


def _from_list(items: Sequence[Any], root: Path) -> Manifest:
    """Read a list of paths, Clips and rows (mappings)."""
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
    """Return the names that a table can hold, and a note about the others (mostly from old archives)."""
    good: list[str] = []
    strange: list[str] = []
    for name in names:
        (strange if SURROGATES.search(name) else good).append(name)
    shown = ascii(strange[0]) if strange else ""
    note = f"{len(strange)} files are left out: their names are not UTF-8, such as {shown}; rename them"
    return good, (note,) if strange else ()


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
