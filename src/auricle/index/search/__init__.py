"""Search in an index.

``find.py`` is one session for all kinds of queries (``query.py``), ``examples.py`` and ``relevance.py`` make directions of sounds;
``nearest.py`` compares exactly, with bounds (``bounds.py``), ``approximate.py`` with faiss; ``duplicates.py`` finds pairs.
"""
