"""What is wrong with recordings and their labels, before anything is learnt from them.

``measures`` decodes every clip once (``levels``, ``bandwidth``, ``fingerprints``); ``matches`` finds clips with the same sound.
``clip_faults``, ``label_faults`` and ``shared_sound`` turn that into ``findings``; ``cleaned`` leaves out what should not be
learnt from.
"""
