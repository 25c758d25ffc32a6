"""Scores of predictions, as pure functions of arrays.

``table``: the open table ``METRICS`` of named metrics. ``classification`` and ``events``: their functions. ``medical``: scores of
breathing and heart sounds. ``rank``: how many directions features fill, without labels.
"""
