"""One function of one frozen config per verb: the only place that composes data, networks, training and reports.

The command line and Python call the same functions. Modules import PyTorch only when a function runs.
"""
