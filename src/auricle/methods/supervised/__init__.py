"""Learning with labels: fine-tuning of any encoder, end to end or of its head alone.

``method`` is the entry of ``registry.METHODS``, ``config`` holds the settings. ``data`` opens labelled ``clips``, ``head`` chooses
the head, ``parameters`` what is trained at which rate. ``mixing`` augments a batch, and ``objective`` compares the logits with
the labels (``losses``).
"""
