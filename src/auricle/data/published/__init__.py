"""Published data sets: their official folders as manifests, with splits and folds as published.

Begin with ``base.py`` (what is known of a data set, and how its folder is read). ``table.py`` names all data sets; the readers
stand in one file per topic.
"""
