"""Manifests: tables of clips, stored as columns.

Begin with ``manifest.py`` (what a manifest offers) and ``formats.py`` (how it is read and written); ``clip.py`` is one row,
``columns.py`` and ``clip_table.py`` hold the rows, ``rows.py`` and ``tables.py`` convert those of files.
"""
