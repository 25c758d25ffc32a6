"""The report of a run or of a comparison of runs: one HTML file that loads nothing else.

``page`` builds it from ``run_view`` (a run folder), ``verdicts`` (what was learnt, in sentences) and ``sections/``;
``drawing/`` holds HTML, charts, images and sound. ``snapshot`` keeps clips for it; ``tag_picture`` draws tagged recordings.
"""
