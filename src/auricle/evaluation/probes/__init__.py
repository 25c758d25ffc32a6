"""Probes: models trained on frozen features, each a frozen dataclass of settings with ``fit_predict``.

``base``: the contract and what probes share. ``logistic``, ``knn``, ``evar`` (EVAR's linear probe), ``fewshot``.
"""
