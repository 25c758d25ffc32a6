"""From data sets to batches.

``sampler.py`` decides which clips make a batch, ``variable_length.py`` does so by length, ``loader.py`` reads them in workers,
``statistics.py`` measures mean and standard deviation.
"""
