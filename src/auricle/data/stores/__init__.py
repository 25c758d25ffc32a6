"""Stores: where audio and spectrograms of clips are.

``base.py`` defines the ClipStore contract and the stores of loose files. ``npy.py`` defines the format of stored spectrograms and
of the settings beside them. ``conversion.py`` makes spectrograms from audio.
"""
