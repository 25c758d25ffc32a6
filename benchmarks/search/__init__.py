"""Benchmarks of indexes of one's own sounds: speed of search, how alike what it finds is, and the review loop."""
