"""What the benchmarks of detectors compare."""

from __future__ import annotations

MODEL, WEIGHTS = "mn04_as", "weights/mn04_as_mAP_432.pt"  # weights: in the shared folder
TASKS = ("ESC-10", "digits", "digits, as they are")
ENCODERS = (MODEL, "small")
FOLDS = {"ESC-10": (1, 2, 3, 4, 5), "digits": (1, 2, 3, 4, 5, 6), "digits, as they are": (1, 2, 3, 4, 5, 6)}
UNSEEN = {"ESC-10": (4, 5), "digits": (5, 6), "digits, as they are": (5, 6)}  # by the small encoder
PER_CLASS = (1, 2, 4, 8)  # labelled clips of a class
DRAWS = 3  # of the few labelled clips
TARGET_PRECISION = 0.9
BACKGROUND_DRAWS = 5  # of the four classes that are looked for
