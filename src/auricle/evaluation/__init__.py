"""Measure encoders: tasks, probes, scores and comparisons.

Reading order: ``tasks`` (with ``targets`` and ``splits``), ``probes/``, ``protocols``, ``runner`` (``evaluate``), ``evaluation``
(its result), ``results`` (the store), ``compare``; ``task_set`` runs many tasks from one file.
"""
