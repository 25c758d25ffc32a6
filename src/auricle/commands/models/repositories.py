"""Models in repositories of the Hugging Face Hub, for ``auricle models list``, ``show`` and ``get``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.core.console import printable
from auricle.core.errors import AuricleError


@dataclass(frozen=True)
class KeptRepository:
    """A repository whose weights are on this machine: its name, its weight file, bytes, and the licence in the weights."""

    name: str
    file: str
    size: int
    licence: str


def kept_repositories() -> list[KeptRepository]:
    """Return the repositories with weights of Auricle on this machine."""
    from auricle.hub.huggingface.name import HubSettings
    from auricle.hub.huggingface.snapshot import kept_repositories as kept
    from auricle.hub.weight_file import describe

    found = []
    for name, file in kept(HubSettings.from_environment(offline=True)):
        try:
            licence = describe(file)["info"].get("licence")
        except AuricleError:  # weights of another program
            continue
        found.append(KeptRepository(str(name), str(file), file.stat().st_size, _words(licence) or "not stated"))
    return found


def facts_of_repository(name: str) -> tuple[str, dict[str, Any], Path | None]:
    """Return what is known of a repository without its weights: what the hub says, its card, its ``config.json``.

    Args:
        name: ``hf://owner/name[@revision]``.

    Returns:
        The name, facts in the order of the output, and the weight file if it is on this machine.

    Raises:
        AuricleError: there is no such repository, or it holds no weights that are read.
    """
    from auricle.hub.huggingface.card import read_model_card
    from auricle.hub.huggingface.name import HubSettings, RepositoryName
    from auricle.hub.huggingface.snapshot import CARD, CONFIG, descriptions_among, facts_of, obtain, weights_among

    repository, settings = RepositoryName.parse(name), HubSettings.from_environment()
    snapshot = obtain(repository, descriptions_among, settings)
    weights = weights_among(snapshot.paths, repository, repository.file)[0]
    facts = facts_of(snapshot)
    card, config = snapshot.file(CARD), snapshot.file(CONFIG)
    if card.is_file():
        read = read_model_card(card.read_text(encoding="utf-8", errors="replace"))
        facts |= {f"card: {key}": value for key, value in read.items()}
    file = snapshot.file(weights)
    here = file if file.is_file() else None
    if here is None and config.is_file():
        facts |= _described(config)
    facts["kept at"] = str(here) if here else f"not on this machine; 'auricle models get {name}' brings it"
    return str(repository), facts, here


def _described(config: Path) -> dict[str, Any]:
    """Return what ``config.json`` says of the encoder, as texts and numbers; whatever is of another kind is left out."""
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    info = values.get("info") if isinstance(values, dict) else None
    if not isinstance(info, dict):
        return {}
    facts = {key: _words(info.get(key)) for key in ("family", "front_end", "licence", "source")}
    rate, spaces = info.get("sample_rate"), info.get("label_spaces")
    if isinstance(rate, int) and not isinstance(rate, bool) and 0 < rate < 1 << 31:
        facts["sample_rate"] = str(rate)
    names = info.get("head_names")
    if isinstance(spaces, list) and isinstance(names, list):
        counts = [
            f"{_words(name)}: {len(space['ids'])} classes"
            for name, space in zip(names[:50], spaces)
            if isinstance(space, dict) and isinstance(space.get("ids"), list) and isinstance(name, str)
        ]
        facts["heads of config.json"] = ", ".join(counts)
    return {key: value for key, value in facts.items() if value}


def _words(value: Any) -> str:
    return re.sub(r"\s+", " ", printable(value))[:300] if isinstance(value, str) else ""
