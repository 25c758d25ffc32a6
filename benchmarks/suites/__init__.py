"""Suites of the recordings beside the checkout, and what they need."""
