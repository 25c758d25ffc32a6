"""Work that takes long: ``jobs.py`` (the queue), ``tagging.py`` and ``training.py`` (what jobs do), ``results.py``."""
