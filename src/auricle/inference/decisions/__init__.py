"""Calibrated probabilities, thresholds, and what is detected by them."""
