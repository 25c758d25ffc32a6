"""Detections and search results, answered by a person one by one.

``detections.py`` and ``queue.py``: what is asked; ``session.py``: over an index; ``precision.py``: how often a score is right;
``agreement.py``: of several reviewers; ``labels.py`` and ``thresholds.py``: what a detector learns from the answers.
"""
