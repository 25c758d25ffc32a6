"""Layouts of published checkpoints, read and written: names of tensors, settings and folders, per project."""
