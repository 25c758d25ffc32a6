"""Manifests: tables of clips, stored as columns.

Begin with ``manifest.py`` (what a manifest offers) and ``formats.py`` (how it is read and written). ``clip.py`` is one row,
``columns.py`` and ``clip_table.py`` hold the rows. ``tables/`` reads files, ``rows.py`` and ``label_cells.py`` convert their
rows, ``merging.py`` joins rows about one clip, ``folders.py`` reads folders, ``locate.py`` and ``names.py`` find the files that
names mean, ``summary.py`` says what was understood.
"""
