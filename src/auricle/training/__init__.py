"""Training: ``run`` assembles data, objective and loop; ``loop`` is the one loop for every objective.

The loop is helped by ``checkpoint``, ``optimizers``, ``schedules``, ``distributed`` (processes), ``replica`` (what one of them
trains), ``sharding`` (its shares of every tensor), ``health`` and ``log``; ``callbacks`` are how others watch a run, ``dry_run``
estimates its cost.
"""
