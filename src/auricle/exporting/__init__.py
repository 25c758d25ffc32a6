"""Graphs that run without this package: waveform in, scores and embeddings out, with a certificate."""
