"""The HEAR benchmark ([evaluation 7](docs/specification/evaluation.md#s7)): task folders in its format, and its two stages.

``folder`` reads task folders, ``write`` writes them, ``embeddings`` computes scene and timestamp embeddings of any encoder,
``predictor`` trains the classifier, ``events`` turns probabilities of timestamps into events, ``tasks`` is the adapter of suites.
"""
