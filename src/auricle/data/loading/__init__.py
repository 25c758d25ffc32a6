"""From data sets to batches.

``sampler.py`` chooses the clips of each batch, ``variable_length.py`` chooses them by length, ``loader.py`` reads them in workers,
``statistics.py`` computes mean and standard deviation.
"""
