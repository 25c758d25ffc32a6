"""Training: ``run`` assembles data, objective and loop; ``loop`` is the one loop for every objective.

The loop is helped by ``checkpoint``, ``optimizers``, ``schedules``, ``precision``, ``distributed``, ``health`` and ``log``;
``callbacks`` are how others watch a run, ``dry_run`` estimates its cost.
"""
