"""Suites: many tasks, measured together for one or several models, resumable task by task.

A suite is data: a YAML file of task records (``sets/`` holds the shipped ones) and tables of published scores
(``published/``). An adapter knows what the records of one kind mean: a subclass of ``contract.SuiteTask`` that reads a record
and gives ``contract.Work``, and one line in ``read.ADAPTERS``. ``run`` measures them, skips what the results store already
holds, and reports what could not be measured; ``comparison`` puts models and published scores side by side.
"""
