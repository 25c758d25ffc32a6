"""Run encoders on recordings: ``Tagger`` gives labels, ``Embedder`` gives embeddings.

``pipeline`` is what both share (input, decoding ahead, batches); ``*_config`` are their settings, free of torch.
"""
