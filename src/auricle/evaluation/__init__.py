"""Measure encoders: tasks, probes, scores and comparisons.

Reading order: ``tasks`` (with ``targets`` and ``splits``), ``probes/``, ``protocols``, ``runner`` (``evaluate``), ``evaluation``
(its result), ``results`` (the store), ``compare``; ``suites/`` measures many tasks for several models.
"""
