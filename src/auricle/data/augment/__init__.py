"""Augmentations of log-mel spectrograms.

``noise.py`` mixes in background noise, ``jitter.py`` changes gain and timbre. Every draw is keyed by the clip's place.
"""
