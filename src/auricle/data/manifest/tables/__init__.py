"""Tables as files: ``files.py`` (which kinds there are, Parquet, writing), ``text.py`` (CSV, TSV) and ``json_rows.py``."""

from auricle.data.manifest.tables.files import (
    CHUNK,
    TABLES,
    TableChunk,
    check_table,
    named_class,
    place_of_row,
    read_chunks,
    read_table,
    refuse_spreadsheet,
    text_file,
    write_parquet,
)

__all__ = [
    "CHUNK",
    "TABLES",
    "TableChunk",
    "check_table",
    "named_class",
    "place_of_row",
    "read_chunks",
    "read_table",
    "refuse_spreadsheet",
    "text_file",
    "write_parquet",
]
