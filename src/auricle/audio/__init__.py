"""Audio in and out: ``sources`` of recordings, decoding (``decode/``), resampling, streams of blocks, windows, ``write``.

Samples are float32 in [-1, 1]. Rates are whole numbers of hertz.
"""
