"""Stores: where audio and spectrograms of clips are.

``base.py`` is the ClipStore contract and the stores of loose files, ``npy.py`` and ``card.py`` the format of stored
spectrograms, ``conversion.py`` makes them from audio.
"""
