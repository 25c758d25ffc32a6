"""The probes by name: what ``--protocol`` may say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from auricle.core.errors import AuricleError, nearest
from auricle.evaluation.probes.base import Probe
from auricle.evaluation.probes.evar import evar_probe
from auricle.evaluation.probes.knn import knn_cosine, knn_vote, knn_xares
from auricle.evaluation.probes.logistic import logistic, logistic_cv


@dataclass(frozen=True)
class Protocol:
    """seeded: its score depends on the seed. train_crop: which window of a longer clip trains it (tests hear the
    start)."""

    name: str
    probe: Probe
    summary: str
    seeded: bool = False
    train_crop: str = "start"
    rate: Callable[..., Probe] | None = None

    def with_lr(self, lr: float) -> Protocol:
        """The same protocol at another learning rate, named so. Raises AuricleError where nothing is learnt by
        steps."""
        if self.rate is None:
            raise AuricleError(f"the protocol '{self.name}' has no learning rate")
        return replace(self, name=f"{self.name}, lr {lr:g}", probe=self.rate(lr))


PROTOCOLS = {
    p.name: p
    for p in (
        Protocol("logistic", logistic, "exact logistic regression, C = 1, standardised: the reference figures"),
        Protocol(
            "logistic-cv", logistic_cv, "exact logistic regression, C chosen inside the training part", seeded=True
        ),
        Protocol("knn-vote", knn_vote, "10 neighbours by cosine of standardised features, one vote each"),
        Protocol("knn-cosine", knn_cosine, "10 neighbours by cosine, X-ARES weights"),
        Protocol("knn-xares", knn_xares, "10 neighbours as the X-ARES program does it, no cosine"),
        Protocol(
            "evar",
            evar_probe,
            "EVAR's linear probe: Adam, no schedule, early stopping",
            seeded=True,
            train_crop="random",
            rate=lambda lr: partial(evar_probe, lr=lr),
        ),
    )
}


def protocol(name: str) -> Protocol:
    """The protocol of a name. Raises AuricleError naming the known ones."""
    if name not in PROTOCOLS:
        raise AuricleError(f"unknown protocol '{name}'{nearest(name, tuple(PROTOCOLS))}")
    return PROTOCOLS[name]
