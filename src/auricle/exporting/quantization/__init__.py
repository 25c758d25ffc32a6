"""Smaller numbers in an exported graph: weights in 8 or 16 bits, products of 8-bit integers, and what that loses."""
