"""EfficientAT: the taggers MN and DyMN (mn, dymn) and what they share as encoders (encoder, heads, config).

``folding`` and ``onednn`` make the form for inference (``Encoder.for_inference``); ``complexity`` counts the cost.
"""
