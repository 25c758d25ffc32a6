"""Manifests: tables of clips, stored as columns.

Begin with ``manifest.py`` (what a manifest offers) and ``formats.py`` (how it is read and written). ``columns.py`` and
``clip_table.py`` hold the rows. ``tables/`` reads files, ``rows.py`` and ``label_cells.py`` convert their rows, ``labels.py`` joins
tables of labels, ``folders.py`` and ``label_tracks.py`` read folders, ``locate.py`` finds the files that names mean,
``summary.py`` describes what was read.
"""
