"""MAEB, the audio benchmark of mteb: any encoder as a model of mteb, and its tasks as tasks of a suite.

``rows`` reads and embeds rows of a data set (it needs no mteb), ``encoder`` is the model that mteb's evaluator calls,
``meta`` describes it for mteb's leaderboard, ``tasks`` is the adapter of suites.
"""
