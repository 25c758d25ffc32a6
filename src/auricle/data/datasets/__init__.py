"""Map-style data sets over a manifest.

``base.py`` defines a sample; ``waveforms.py``, ``spectrograms.py`` and ``speech.py`` read crops; ``crops.py`` draws where they
start.
"""
