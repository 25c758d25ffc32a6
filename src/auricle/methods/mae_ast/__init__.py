"""MAE-AST: matching and reconstruction of masked tokens, with SSAST as a special case.

``method`` is the entry of ``registry.METHODS``, ``config`` holds the settings, ``objective`` the losses.
"""
