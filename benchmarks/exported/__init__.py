"""Exported graphs: smaller numbers, and families by formats."""
