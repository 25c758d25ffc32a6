"""``auricle models push``: an encoder and its model card to a repository of the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.core.errors import AuricleError
from auricle.core.options import argument, option

if TYPE_CHECKING:
    from auricle.hub.huggingface.card import CardFacts
    from auricle.models.base import Encoder


@dataclass(frozen=True)
class PushConfig:
    """The model to publish, and where."""

    model: str = argument("a run folder, a weight file or a published name")
    repository: str = argument("hf://owner/name; it is made if it does not exist")
    private: bool = option(False, "a new repository is private")
    licence: str | None = option(
        None, "licence of what is published, such as cc-by-4.0; not set: the one in the weights"
    )
    datasets: tuple[str, ...] = option(
        (), "data sets it learnt from, as the hub names them; none: the name of the recordings"
    )
    message: str = option("Upload with auricle", "message of the commit")
    out: str | None = option(None, "write the files to this folder too")
    dry_run: bool = option(False, "print the card and upload nothing")


@dataclass(frozen=True)
class PushResult:
    """What was uploaded, or would be.

    Attributes:
        repository: ``hf://owner/name``.
        files: {path: bytes}.
        card: the text of the model card.
        url, commit: of the upload; "" in a dry run.
        folder: the files on this machine, where --out named one.
        notes: sentences on what a user should know.
    """

    repository: str
    files: dict[str, int]
    card: str
    url: str = ""
    commit: str = ""
    folder: str = ""
    notes: tuple[str, ...] = ()


def push(config: PushConfig) -> PushResult:
    """Upload a model with a card that holds what its run folder knows: data, scores, thresholds, licence, lineage.

    The upload holds ``model.safetensors``, ``config.json`` and ``README.md`` and nothing else of the run folder; paths of this
    machine are left out of them.

    Raises:
        AuricleError: there is no such model, the name is none, or the hub refuses.
    """
    from tempfile import TemporaryDirectory

    from auricle.core.io import scratch_folder
    from auricle.hub.huggingface.publish import FILES, push_to_hub, repository_of, save_pretrained
    from auricle.hub.huggingface.snapshot import CARD

    repository = repository_of(config.repository)
    encoder, lineage, facts, notes = _opened(config)
    with TemporaryDirectory(dir=scratch_folder()) as temporary:
        out = Path(config.out or temporary)
        folder = save_pretrained(encoder, out, facts=facts, repository=repository, lineage=lineage)
        card = (folder / CARD).read_text(encoding="utf-8")
        files = {file: (folder / file).stat().st_size for file in FILES}
    result = PushResult(str(repository), files, card, folder=config.out or "", notes=tuple(notes))
    if config.dry_run:
        return result
    private = True if config.private else None
    done = push_to_hub(encoder, str(repository), private=private, message=config.message, facts=facts, lineage=lineage)
    return replace(result, files=done.files, url=done.url, commit=done.commit, notes=(*notes, *done.notes))


def _opened(config: PushConfig) -> tuple[Encoder, dict, CardFacts, list[str]]:
    """Return the encoder, its lineage, the facts for the card, and sentences on what could not be read."""
    from auricle.commands.models.card_facts import facts_of_record, facts_of_run
    from auricle.hub.huggingface.publish import facts_from_lineage
    from auricle.hub.load import load, locate
    from auricle.hub.published.table import find
    from auricle.hub.run_folder import weights_in
    from auricle.hub.weight_file import describe, is_described

    if not config.message.strip():
        raise AuricleError("--message is empty; say what changed")
    encoder, (path, kind), notes = load(config.model), locate(config.model), list[str]()
    file = weights_in(path) if kind == "folder" else path
    lineage = (
        describe(file)["lineage"] if kind != "none" and file.suffix == ".safetensors" and is_described(file) else {}
    )
    record = find(config.model) if kind == "none" else None
    if record is not None:
        facts = facts_of_record(record)
    elif kind == "folder":
        facts, notes = facts_of_run(path, lineage)
    else:
        facts = facts_from_lineage(lineage)
    if config.datasets:
        facts = replace(facts, datasets=config.datasets)
    if config.licence is not None:
        encoder.update_info(licence=config.licence)
    elif encoder.info.licence == "not stated":
        notes.append("the weights state no licence; --licence names one, so that others know what they may do")
    return encoder, lineage, facts, notes
