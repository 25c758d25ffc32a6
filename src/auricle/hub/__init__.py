"""Where encoders come from: load (any source), weight files, run folders, downloads and the cache of weights.

``published`` describes the published weights, ``convert`` reads and writes their layouts.
"""
