"""Layers that several families use: transformer, positions, dropout, initialisation, and access to internal maps."""
