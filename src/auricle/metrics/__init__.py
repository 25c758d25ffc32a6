"""Scores of predictions, as pure functions of arrays.

``table``: the open table ``METRICS`` of named metrics. ``classification``: their functions. ``rank``: how many directions
features fill, without labels.
"""
