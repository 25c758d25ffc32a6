"""M2D, masked modeling duo, and its variants M2D-X, M2D-AS, M2D-S and D2V.

``method`` is the entry of ``registry.METHODS``, ``config`` holds the settings, ``objective`` the losses.
"""
