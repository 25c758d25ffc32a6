"""Map-style data sets over a manifest.

``base.py`` says what a sample is; ``waveforms.py``, ``spectrograms.py`` and ``speech.py`` read crops; ``crops.py`` draws where they
start.
"""
