"""Publish an encoder: a folder with weights and model card, and its upload to the Hugging Face Hub.

Reading from the hub needs no package of it (``snapshot.py``). Uploading has large-file protocols of its own, so it is left to
``huggingface_hub``, the extra ``[hf]``, which is imported when something is uploaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from auricle.core.console import printable
from auricle.core.errors import AuricleError, MissingExtra, first_line
from auricle.core.io import dumps, make_folder, scratch_folder, write_text
from auricle.hub.huggingface.card import MARK, CardFacts, base_model_of, write_model_card
from auricle.hub.huggingface.name import FORM, MAIN_REVISION, PREFIX, HubSettings, RepositoryName
from auricle.hub.huggingface.snapshot import CARD, CONFIG, obtain
from auricle.hub.run_folder import PRETRAINED, RunFolder
from auricle.hub.weight_file import describe, save_encoder

if TYPE_CHECKING:
    from auricle.models.base import Encoder

FILES = (CARD, CONFIG, PRETRAINED)
MESSAGE = "Upload with auricle"
PATH_OF_A_MACHINE = re.compile(r"^(?:[/\\~.]|[A-Za-z]:[/\\])|[/\\]")


@dataclass(frozen=True)
class Published:
    """What was uploaded.

    Attributes:
        repository: ``hf://owner/name``.
        url: of the repository.
        commit: of the upload.
        files: {path: bytes}.
        notes: sentences on what was done otherwise than usual.
    """

    repository: str
    url: str
    commit: str
    files: dict[str, int]
    notes: tuple[str, ...] = ()


def save_pretrained(
    encoder: Encoder,
    folder: Path | str,
    *,
    facts: CardFacts | None = None,
    repository: RepositoryName | None = None,
    lineage: dict[str, Any] | None = None,
) -> Path:
    """Write ``model.safetensors``, ``config.json`` and a model card to a folder that ``auricle.load`` reads.

    Args:
        encoder: what is written.
        folder: is made; files of these names are replaced, but for a model card of one's own.
        facts: what is known of the encoder beside itself, for the card; None: nothing.
        repository: where the folder will be published, for the card.
        lineage: JSON values: where the weights come from.

    Returns:
        The folder.

    Raises:
        AuricleError: the folder cannot be written, or holds a run.
    """
    folder, facts = Path(folder).expanduser(), facts or CardFacts()
    if RunFolder(folder).encoder.exists() or RunFolder(folder).config.exists():
        raise AuricleError(f"{folder} holds a run, whose weights have their place there; choose another folder")
    make_folder(folder, "choose another folder")
    with _publishable_info(encoder):
        save_encoder(encoder, folder / PRETRAINED, lineage=publishable(lineage or {}))
        described = describe(folder / PRETRAINED)
        write_text(folder / CONFIG, dumps({"model_type": "auricle", **described}, indent=1) + "\n")
        if not _is_own_text(folder / CARD):
            write_text(folder / CARD, write_model_card(encoder, facts, repository))
    return folder


def push_to_hub(
    encoder: Encoder,
    name: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    message: str = MESSAGE,
    facts: CardFacts | None = None,
    lineage: dict[str, Any] | None = None,
) -> Published:
    """Upload an encoder and its model card to a repository of the Hugging Face Hub, in one commit.

    Args:
        encoder: what is uploaded.
        name: "owner/name" or "hf://owner/name[@branch]"; repository and branch are made where they do not exist.
        private: True: a new repository is private; None: as the account has it.
        token: of the user; None: HF_TOKEN, or that of ``hf auth login``.
        message: of the commit.
        facts: what is known of the encoder beside itself, for the card.
        lineage: JSON values: where the weights come from.

    Raises:
        AuricleError: the name is none, requests are switched off, there is no token, or the hub refuses.
        MissingExtra: ``huggingface_hub`` is not installed.
    """
    repository = repository_of(name)
    settings = HubSettings.from_environment(token=token)
    if settings.offline:
        raise AuricleError(f"{repository} cannot be written: requests are switched off ({settings.why_offline})")
    if not settings.token:
        raise AuricleError(
            f"{repository} cannot be written without a token: make one that may write at {settings.endpoint}/settings/tokens, "
            "and set HF_TOKEN to it or log in with 'hf auth login'"
        )
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise MissingExtra("an upload to the Hugging Face Hub", "hf") from None
    api = HfApi(endpoint=settings.endpoint, token=settings.token, library_name="auricle")
    with TemporaryDirectory(dir=scratch_folder()) as temporary:
        folder = save_pretrained(encoder, temporary, facts=facts, repository=repository, lineage=lineage)
        with _as_auricle_error(repository, settings):
            api.create_repo(repository.id, private=private, exist_ok=True)
            if repository.revision != MAIN_REVISION:
                api.create_branch(repository.id, branch=repository.revision, exist_ok=True)
        files, notes = list(FILES), list[str]()
        if _has_own_card(repository, settings):
            files.remove(CARD)
            notes.append(f"{repository.id} has a model card of its own, which was kept")
        sizes = {file: (folder / file).stat().st_size for file in files}
        with _as_auricle_error(repository, settings):
            commit = _commit(api, repository, folder, files, message)
    return Published(str(repository), f"{settings.endpoint}/{repository.id}", commit, sizes, tuple(notes))


def repository_of(name: str) -> RepositoryName:
    """Read "owner/name" or "hf://owner/name[@branch]". Raises AuricleError for anything else."""
    repository = RepositoryName.parse(name if name.startswith(PREFIX) else PREFIX + name)
    if repository.file:
        raise AuricleError(f"{name} names a file in a repository; expected owner/name or {FORM.split(' or ')[0]}")
    return repository


def _commit(api: Any, repository: RepositoryName, folder: Path, files: list[str], message: str) -> str:
    from huggingface_hub import CommitOperationAdd

    operations = [CommitOperationAdd(file, str(folder / file)) for file in files]
    answer = api.create_commit(repository.id, operations, commit_message=message, revision=repository.revision)
    return str(answer.oid)


def _has_own_card(repository: RepositoryName, settings: HubSettings) -> bool:
    """Return True if the card in the repository is one that people wrote."""
    snapshot = obtain(repository, lambda paths: (CARD,) if CARD in paths else (), settings)
    return _is_own_text(snapshot.file(CARD))


def _is_own_text(card: Path) -> bool:
    return card.is_file() and MARK not in card.read_text(encoding="utf-8", errors="replace")


@contextmanager
def _as_auricle_error(repository: RepositoryName, settings: HubSettings) -> Iterator[None]:
    """Convert what the client of the hub raises to an AuricleError; it may raise anything on what a server sends."""
    try:
        yield
    except AuricleError:
        raise
    except Exception as error:
        raise AuricleError(f"{repository} was not written: {_refusal(error, repository, settings)}") from error


def _refusal(error: Exception, repository: RepositoryName, settings: HubSettings) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return (
            f"{settings.endpoint} refuses the token from {settings.token_from}; make another one that may write at "
            f"{settings.endpoint}/settings/tokens"
        )
    if status == 403:
        return f"the token from {settings.token_from} may not write to {repository.owner}; it needs the right to write there"
    if status == 429:
        return f"{settings.endpoint} has too many requests (HTTP 429); try again later"
    if status is None and ("connect" in type(error).__name__.lower() or "timeout" in type(error).__name__.lower()):
        return f"{settings.endpoint} cannot be reached ({printable(first_line(error))[:200]})"
    said = getattr(error, "server_message", "") or f"{type(error).__name__}: {first_line(error)}"
    return f"{f'HTTP {status}: ' if status else ''}{printable(said)[:300]}"


def publishable(lineage: Any) -> Any:
    """Return a lineage without the folders of this machine: of a path the last name is left."""
    if isinstance(lineage, dict):
        return {key: publishable(value) for key, value in lineage.items()}
    if isinstance(lineage, list):
        return [publishable(value) for value in lineage]
    if isinstance(lineage, str) and "://" not in lineage and PATH_OF_A_MACHINE.search(lineage):
        return PurePath(lineage.replace("\\", "/")).name or lineage
    return lineage


@contextmanager
def _publishable_info(encoder: Encoder) -> Iterator[None]:
    """Take the folders of this machine out of name and source of an encoder as long as the context lasts."""
    name, source = encoder.info.name, encoder.info.source
    encoder.update_info(name=publishable(name), source=publishable(source))
    try:
        yield
    finally:
        encoder.update_info(name=name, source=source)


def facts_from_lineage(lineage: dict[str, Any]) -> CardFacts:
    """Return the facts that a lineage holds, for an encoder without a run folder."""
    from auricle.hub.published.record import BIBTEX, bibtex

    shown = {key: value if isinstance(value, str) else json.dumps(value) for key, value in publishable(lineage).items()}
    papers = tuple(key for key in lineage.get("papers", ()) if isinstance(key, str) and key in BIBTEX)
    model = lineage.get("model")
    base = base_model_of(model) if isinstance(model, str) else ""
    facts = CardFacts(lineage={key: text for key, text in shown.items() if text}, base_model=base)
    return replace(facts, bibtex=bibtex(papers))
