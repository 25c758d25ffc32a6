"""From labelled recordings to a calibrated detector: frozen features, heads fitted on them, the choice between them, the files of a
detector's run folder, and which clips to label next.
"""
