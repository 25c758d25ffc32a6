"""SUPERB: hidden states of any encoder, the featurizer, the heads of its tasks, and the adapter of a suite.

Source: [evaluation 6](docs/specification/evaluation.md#s6).
"""
