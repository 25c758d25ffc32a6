"""Data: from tables of clips to batches.

``manifest/`` holds the tables, ``published/`` reads those of published data sets, ``stores/`` opens what is stored of a clip,
``datasets/`` cuts crops, ``augment/`` changes them, ``loading/`` makes batches of them (``batch.py``), ``synthetic/`` draws a
corpus, and ``audioset.py`` holds AudioSet's lists.
"""
