"""The protocols: a probe with its settings under a name, what ``--protocol`` takes. No PyTorch here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from auricle.core.errors import AuricleError, nearest
from auricle.evaluation.probes.base import Probe
from auricle.evaluation.probes.evar import EvarProbe
from auricle.evaluation.probes.knn import KNN
from auricle.evaluation.probes.logistic import Logistic, LogisticCV


@dataclass(frozen=True)
class Protocol:
    """A probe with its settings.

    Attributes:
        name: The name in results.
        probe: The probe.
        summary: One line for help.
        seeded: True if predictions depend on the seed; other protocols run once.
        train_crop: Which window of a longer clip trains the probe, "start" or "random"; tests use the start.
        few_shot: Add the curve over 1, 2, 4 and 8 training clips per class.
        version: Raised when the numbers of the protocol change: scores of two versions are not compared.
    """

    name: str
    probe: Probe
    summary: str
    seeded: bool = False
    train_crop: str = "start"
    few_shot: bool = False
    version: str = "1"

    @property
    def has_lr(self) -> bool:
        """True if the probe learns by steps."""
        return isinstance(self.probe, EvarProbe)

    def with_lr(self, lr: float) -> Protocol:
        """Return the protocol with another learning rate, which its name says.

        Raises:
            AuricleError: The probe has no learning rate.
        """
        if not isinstance(self.probe, EvarProbe):
            raise AuricleError(f"the protocol '{self.name}' has no learning rate")
        return replace(self, name=f"{self.name}, lr {lr:g}", probe=replace(self.probe, lr=lr))


LOGISTIC = Protocol("logistic", Logistic(), "exact logistic regression, C = 1, standardised: the reference figures")
KNN_VOTE = Protocol("knn-vote", KNN("vote"), "10 neighbours by cosine of standardised features, one vote each")
PROTOCOLS = {
    "linear": LOGISTIC,
    "logistic": LOGISTIC,
    "logistic-cv": Protocol(
        "logistic-cv", LogisticCV(), "exact logistic regression, C chosen inside the training part", seeded=True
    ),
    "knn": KNN_VOTE,
    "knn-vote": KNN_VOTE,
    "knn-cosine": Protocol("knn-cosine", KNN("cosine"), "10 neighbours by cosine, X-ARES weights"),
    "knn-xares": Protocol("knn-xares", KNN("xares"), "10 neighbours as the X-ARES program does it, no cosine"),
    "fewshot": replace(LOGISTIC, summary="logistic, also with 1, 2, 4 and 8 training clips per class", few_shot=True),
    "evar": Protocol(
        "evar", EvarProbe(), "EVAR's linear probe: Adam, no schedule, early stopping", seeded=True, train_crop="random"
    ),
}


def protocol(name: str) -> Protocol:
    """Return the protocol of a name. Raises AuricleError, with the nearest name, for an unknown one."""
    if name not in PROTOCOLS:
        raise AuricleError(f"unknown protocol '{name}'{nearest(name, tuple(PROTOCOLS))}")
    return PROTOCOLS[name]
