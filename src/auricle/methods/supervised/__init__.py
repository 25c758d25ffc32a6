"""Learning with labels: fine-tuning of any encoder, end to end or of its head alone.

``config`` holds the settings and the entry of ``registry.METHODS``. ``labelled_clips`` reads clips and splits them, ``data`` opens
them (``clips``: waveforms), ``head`` chooses the head, ``parameters`` what is trained at which rate. ``mixing`` augments a batch,
and ``objective`` compares the logits with the labels (``frames``: of frames).
"""
