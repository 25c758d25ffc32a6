"""Stores: where audio, spectrograms and embeddings of clips are.

``base.py`` defines the ClipStore contract and the stores of loose files. ``npy.py`` defines the format of stored spectrograms and
of the settings beside them, ``hdf5.py`` that of files of encoded audio. ``conversion.py`` makes spectrograms from audio,
``recordings.py`` measures recordings and keeps them as samples. ``embeddings.py`` holds the outputs of encoders and teachers, in
``shards.py``.
"""
