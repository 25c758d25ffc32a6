"""From folders and tables to labelled clips. ``read`` joins what the other files do: ``parts`` (training, validation, test),
``label_kind`` (one label a clip or any number), ``windows`` of recordings with events, ``background`` and ``negatives``.
``description`` says what was understood, ``doubts`` what may be wrong.
"""
