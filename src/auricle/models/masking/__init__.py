"""Masks of pre-training: patches of the M2D family, and random, chunked and span masks of MAE-AST."""
