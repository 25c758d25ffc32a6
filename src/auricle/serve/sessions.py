"""The models of a server: each loaded once, and shared by all requests and jobs."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from auricle.core.errors import nearest
from auricle.hub.load import load
from auricle.inference.config import EmbedSettings, TagSettings
from auricle.inference.embedder import Embedder
from auricle.inference.tagger import Tagger
from auricle.models.base import Encoder
from auricle.serve.errors import Refusal
from auricle.serve.jobs.results import key_of

NOT_IN_ID = re.compile(r"[^A-Za-z0-9_.-]+")
LONGEST_ID = 60  # characters
MOST_TAGGERS = 16  # with other settings; they share the encoder


@dataclass(frozen=True)
class ServedModel:
    """A model that requests may name.

    Attributes:
        id: what requests call it.
        path: the published name, weight file or run folder.
        encoder: the network.
        trained: True for a head that was trained on the page.
        weights: local file of a published name.
        fingerprint: of the encoder.
    """

    id: str
    path: str
    encoder: Encoder
    trained: bool = False
    weights: str | None = None
    fingerprint: str = ""

    @property
    def key(self) -> str:
        """What results of this model are kept under."""
        return key_of(self.id, self.fingerprint)

    @property
    def classes(self) -> dict[str, list[str]]:
        """The names of the reported classes of each head; empty for a model that cannot tag."""
        info = self.encoder.info
        spaces = zip(info.head_names, info.label_spaces)
        return {name: [space.names[c] for c in space.reported] for name, space in spaces if space is not None}

    @property
    def can_tag(self) -> bool:
        return bool(self.classes)


class Models:
    """The models of a server by id. Threads may share it.

    Args:
        tagging: settings of taggers where a request says nothing.
    """

    def __init__(self, tagging: TagSettings):
        self.tagging = tagging
        self._models: dict[str, ServedModel] = {}
        self._lock = threading.Lock()
        self._taggers: dict[tuple[str, TagSettings], Tagger] = {}
        self._embedders: dict[str, Embedder] = {}

    def add(
        self, path: str | Path, *, weights: str | None = None, trained: bool = False, id: str | None = None
    ) -> ServedModel:
        """Load a model and offer it.

        Args:
            path: a published name, a weight file or a run folder.
            weights: local file of a published name.
            trained: it was trained on the page.
            id: what requests call it, in place of a model that has this id; None: a free one.

        Raises:
            AuricleError: as ``auricle.load``.
        """
        encoder = load(path, weights=weights)
        with self._lock:
            model = ServedModel(
                id or self._free_id(str(path)), str(path), encoder, trained, weights, encoder.fingerprint()
            )
            self._models[model.id] = model
            self._taggers = {key: tagger for key, tagger in self._taggers.items() if key[0] != model.id}
            self._embedders.pop(model.id, None)
        return model

    def all(self) -> list[ServedModel]:
        return list(self._models.values())

    def get(self, id: str | None) -> ServedModel:
        """Return a model; None: the first. Raises Refusal (404) for an unknown one."""
        if id is None:
            return next(iter(self._models.values()))
        model = self._models.get(id)
        if model is None:
            raise Refusal(404, f"there is no model '{id}'{nearest(id, list(self._models))}")
        return model

    def tagger(self, id: str | None, *, window: float | None, hop: float | None, top_k: int) -> Tagger:
        """Return a tagging session of a model. Raises Refusal (409) for a model without classes."""
        model = self.get(id)
        if not model.can_tag:
            raise Refusal(
                409, f"{model.id} has no classes, so that it cannot tag: train a head on it, or choose another model"
            )
        settings = replace(
            self.tagging,
            window=window or self.tagging.window,
            hop=hop or (self.tagging.hop if window in (None, self.tagging.window) else None),
            top_k=top_k,
        )
        with self._lock:
            tagger = self._taggers.pop((model.id, settings), None) or Tagger(model.encoder, settings=settings)
            self._taggers[model.id, settings] = tagger  # the one used last comes last
            if len(self._taggers) > MOST_TAGGERS:
                del self._taggers[next(iter(self._taggers))]
        return tagger

    def embedder(self, id: str | None) -> Embedder:
        """Return an embedding session of a model."""
        model = self.get(id)
        with self._lock:
            if model.id not in self._embedders:
                settings = EmbedSettings(precision=self.tagging.precision, device=self.tagging.device)
                self._embedders[model.id] = Embedder(model.encoder, settings=settings)
            return self._embedders[model.id]

    def _free_id(self, path: str) -> str:
        """A short id that no other model has: of a path its last part."""
        name = Path(path).name.removesuffix(".safetensors").removesuffix(".pt") or path
        base = NOT_IN_ID.sub("-", name).strip("-.")[:LONGEST_ID] or "model"
        free, number = base, 2
        while free in self._models:
            free, number = f"{base}-{number}", number + 1
        return free
