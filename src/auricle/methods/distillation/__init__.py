"""Learning from a teacher: distillation of logits and of features into another encoder, with or without labels.

``method`` is the entry of ``registry.METHODS``, ``config`` holds the settings. ``teachers`` gives the outputs to learn
from (live or stored), ``objective`` holds the losses.
"""
