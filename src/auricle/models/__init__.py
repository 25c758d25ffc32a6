"""Networks: the contract of every encoder (base), its heads and label spaces (heads), one folder per family.

``registry`` builds a network from its architecture; ``layers`` and ``masking`` are shared by the families.
"""
