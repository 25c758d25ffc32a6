"""Heads: from an encoder's features to class scores, one file per idea.

``base.py`` is what every head is, ``make.py`` makes them. A head works on any family::

    head = make_head("linear", encoder, num_classes=2)
    detector = encoder.with_head(head, LabelSpace("multilabel", ("frog", "cricket")))
"""
