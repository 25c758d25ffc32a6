"""Audio in and out: decoding (``decode/``), resampling, streams of sample blocks, windows, and files for tests (``write``).

Samples are float32 in [-1, 1]. Rates are whole numbers of hertz.
"""
