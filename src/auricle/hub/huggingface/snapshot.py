"""Files of a repository on this machine, in the folders of ``huggingface_hub``: what either program has, both use.

Loading needs no package of the hub: the listing is one request, and the files come by ``hub/download.py`` (bounded time, resumed
by byte ranges, size and checksum verified). Only safetensors, the model card and ``config.json`` are read; nothing that can
hold a pickle.

``models--OWNER--NAME/`` holds ``refs/REVISION`` (a commit), ``blobs/CHECKSUM`` (contents) and ``snapshots/COMMIT/PATH`` (links to
contents). A reference goes to another commit once the weights of that one are here, so that a copy stays usable without a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from auricle.core.console import listed, printable
from auricle.core.errors import AuricleError
from auricle.core.io import make_folder, sha256_of, temporary_name, write_text, writing
from auricle.hub.download import LARGEST, fetch
from auricle.hub.huggingface.listing import SHA256, HubUnreachable, Listing, RemoteFile, list_repository
from auricle.hub.huggingface.name import COMMIT, HubSettings, RepositoryName, is_safe_path
from auricle.hub.run_folder import PRETRAINED

CARD, CONFIG = "README.md", "config.json"
WEIGHTS = (PRETRAINED, "encoder.safetensors")  # in this order; else the only .safetensors file
DESCRIPTIONS = (CARD, CONFIG)
LARGEST_DESCRIPTION = 4 << 20  # bytes of a model card or a config.json
SET_HOME = "set HF_HOME to another"
SPARE = 1 << 20  # bytes that a download leaves free
Choice = Callable[[Iterable[str]], tuple[str, ...]]


@dataclass(frozen=True)
class RepositorySnapshot:
    """Files of one commit on this machine.

    Attributes:
        name: of the repository.
        commit: 40 hexadecimal digits.
        folder: holds the files under their paths.
        listing: what the hub said of the commit; None where it was not asked.
        note: why a copy was used without asking, where the hub could not be asked; else "".
    """

    name: RepositoryName
    commit: str
    folder: Path
    listing: Listing | None = None
    note: str = ""

    @property
    def paths(self) -> list[str]:
        """Paths of the files of the repository: all, where the hub was asked, else those on this machine."""
        return list(self.listing.files) if self.listing else _paths_in(self.folder)

    def file(self, path: str) -> Path:
        """Return the file on this machine, as ``obtain`` checked it."""
        return self.folder / path


def obtain(name: RepositoryName, choose: Choice, settings: HubSettings) -> RepositorySnapshot:
    """Return the chosen files of a repository; those that are not on this machine yet are downloaded.

    Args:
        name: the repository.
        choose: given the paths of all files, returns those that are needed; it raises for a repository without them.
        settings: of the hub. Offline, and while the hub cannot be reached, the files of this machine are used.

    Raises:
        AuricleError: there is no such repository, it lacks the files, or they are neither here nor to be had.
    """
    asked_for_commit = bool(COMMIT.fullmatch(name.revision))
    if (settings.offline or asked_for_commit) and (kept := _kept(name, choose, settings)):
        return kept
    if settings.offline:
        off = f"downloads are switched off ({settings.why_offline})"
        raise AuricleError(f"{name} is not on this machine, and {off}; {_found(name, choose, settings)}")
    try:
        listing = list_repository(name, settings)
    except HubUnreachable as error:
        kept = _kept(name, choose, settings)
        if kept is None:
            raise AuricleError(f"{error}, and {name} is not on this machine") from None
        return RepositorySnapshot(
            kept.name, kept.commit, kept.folder, None, f"{error}; the copy of commit {kept.commit[:8]} is used"
        )
    needed = choose(listing.files)
    folder = _repository(name, settings) / "snapshots" / listing.commit
    for path in needed:
        _bring(name, listing.files[path], listing.commit, settings)
    has_weights = any(path.endswith(".safetensors") for path in _paths_in(folder))
    before = _kept_commit(name, settings)
    if not asked_for_commit and before != listing.commit and (has_weights or before is None):
        write_text(_repository(name, settings) / "refs" / name.revision, listing.commit)
    return RepositorySnapshot(name, listing.commit, folder, listing)


def kept_repositories(settings: HubSettings) -> list[tuple[RepositoryName, Path]]:
    """Return the repositories with weights on this machine, each with the weights of its newest reference."""
    found = []
    for folder in sorted(settings.cache.glob("models--*--*")):
        owner, _, rest = folder.name.removeprefix("models--").partition("--")
        for reference in sorted(path for path in (folder / "refs").rglob("*") if path.is_file()):
            revision = reference.relative_to(folder / "refs").as_posix()
            try:
                name = RepositoryName.parse(f"hf://{owner}/{rest}@{revision.replace('/', '%2F')}")
                snapshot = _kept(name, _any_weights, settings, check=False)
            except AuricleError:
                continue
            if snapshot is not None:
                found.append((name, snapshot.file(_any_weights(snapshot.paths)[0])))
    return found


def _any_weights(paths: Iterable[str]) -> tuple[str, ...]:
    return weights_among(paths, "")


def weights_among(paths: Iterable[str], where: object, file: str = "") -> tuple[str, ...]:
    """Return the path of the weights among those of a repository, as ``obtain`` chooses them.

    Args:
        paths: of all files.
        where: names the repository in messages.
        file: the one that was asked for; "" for the usual one.

    Raises:
        AuricleError: there are none, several, or only files of a kind that is not read.
    """
    paths = list(paths)
    holds = f"it holds {listed([printable(path) for path in sorted(paths)], 12) or 'nothing'}"
    if file and not file.endswith(".safetensors"):
        raise AuricleError(
            f"{where}: only safetensors are read from the hub, and '{file}' is another kind of file; {holds}"
        )
    if file:
        if file not in paths:
            raise AuricleError(f"{where}: there is no such file; {holds}")
        return (file,)
    usual = [path for path in WEIGHTS if path in paths]
    others = [path for path in paths if path.endswith(".safetensors") and "/" not in path]
    if not usual and len(others) != 1:
        wanted = f"expected {WEIGHTS[0]} as auricle models push writes it"
        several = "several safetensors files, none of which has the usual name; name one (hf://owner/name/FILE)"
        raise AuricleError(
            f"{where} holds {several if others else f'no weights that Auricle reads; {wanted}'}; {holds}"
        )
    return ((usual or others)[0],)


def descriptions_among(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of model card and ``config.json``, those that are there."""
    return tuple(path for path in paths if path in DESCRIPTIONS)


# ---- the folders of huggingface_hub
def _repository(name: RepositoryName, settings: HubSettings) -> Path:
    return settings.cache / f"models--{name.owner}--{name.name}"


def _kept(
    name: RepositoryName, choose: Choice, settings: HubSettings, *, check: bool = True
) -> RepositorySnapshot | None:
    """Return the files of this machine, if all that are needed are here.

    Raises:
        AuricleError: a file has changed.
    """
    commit = _kept_commit(name, settings)
    if commit is None:
        return None
    folder = _repository(name, settings) / "snapshots" / commit
    paths = _paths_in(folder)
    try:
        needed = choose(paths)
    except AuricleError:  # other files of the repository are here
        return None
    for path in needed if check else ():
        _check(folder / path)
    return RepositorySnapshot(name, commit, folder)


def _kept_commit(name: RepositoryName, settings: HubSettings) -> str | None:
    if COMMIT.fullmatch(name.revision):
        return name.revision
    try:
        text = (_repository(name, settings) / "refs" / name.revision).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return text if COMMIT.fullmatch(text) else None


def _paths_in(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for file in files if is_safe_path(path := file.relative_to(folder).as_posix()))


def _found(name: RepositoryName, choose: Choice, settings: HubSettings) -> str:
    """Say which revisions of a repository are here, and how another one is brought."""
    references = _repository(name, settings) / "refs"
    known = [path.relative_to(references).as_posix() for path in sorted(references.rglob("*")) if path.is_file()]
    here = [known_one for known_one in known if _kept(replace(name, revision=known_one), choose, settings, check=False)]
    bring = f"'auricle models get {name}' brings it where there is a network"
    return f"here is {listed(here, 10)}; {bring}" if here else bring


def _bring(name: RepositoryName, file: RemoteFile, commit: str, settings: HubSettings) -> None:
    """Download a file unless it is here, and link it into the snapshot."""
    most = LARGEST if file.path.endswith(".safetensors") else LARGEST_DESCRIPTION
    if file.size is not None and file.size > most:
        raise AuricleError(f"{name}: {file.path} has {file.size:,} bytes; at most {most:,} are read")
    repository = _repository(name, settings)
    target = repository / "snapshots" / commit / file.path
    if target.is_file():
        return _check(target)
    for folder in ("blobs", "refs", "snapshots"):
        make_folder(repository / folder, SET_HOME)
    blob = repository / "blobs" / (file.digest or f"{commit}-{hashlib.sha256(file.path.encode()).hexdigest()[:16]}")
    if not blob.is_file():
        _check_room(name, file, repository)
        url = settings.url(name, commit, file.path)
        quiet, shown = file.path in DESCRIPTIONS, f"{file.path} of {name}"
        fetch(
            [url],
            blob,
            size=file.size,
            sha256=file.sha256,
            token=settings.token,
            shown=shown,
            offline=False,
            quiet=quiet,
        )
        blob.with_name(blob.name + ".json").unlink(missing_ok=True)  # its name is its checksum
        if not _is_whole(blob):
            blob.unlink()
            raise AuricleError(f"{url} delivers another file than the one that the repository lists")
    _check(blob)
    _link(blob, target)


def _check_room(name: RepositoryName, file: RemoteFile, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if file.size is not None and file.size + SPARE > free:
        raise AuricleError(
            f"{file.path} of {name} has {file.size:,} bytes, and {folder} has room for {free:,}; make room, or {SET_HOME} place"
        )


def _check(file: Path) -> None:
    """Raise AuricleError if a file of a snapshot has changed."""
    if not _is_whole(file):
        raise AuricleError(
            f"{os.path.realpath(file)} has changed: its content is not that of its checksum; delete it, then try again"
        )


def _is_whole(file: Path) -> bool:
    """Return False if the content is not that of its checksum, which is the name of the file that a snapshot links to."""
    blob = Path(os.path.realpath(file))
    if SHA256.fullmatch(blob.name):
        return sha256_of(blob) == blob.name
    if COMMIT.fullmatch(blob.name):
        content = blob.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == blob.name
    return True


def _link(blob: Path, target: Path) -> None:
    """Make ``target`` a link to ``blob``; where links cannot be made, a copy."""
    make_folder(target.parent, SET_HOME)
    temporary = temporary_name(target)
    with writing(target):
        temporary.unlink(missing_ok=True)
        try:
            os.symlink(os.path.relpath(blob, target.parent), temporary)
        except OSError:
            shutil.copyfile(blob, temporary)
        os.replace(temporary, target)


def facts_of(snapshot: RepositorySnapshot) -> dict[str, Any]:
    """Return what the hub said of a repository, as JSON values."""
    listing = snapshot.listing
    facts: dict[str, Any] = {
        "repository": snapshot.name.id,
        "revision": snapshot.name.revision,
        "commit": snapshot.commit,
    }
    if listing is not None:
        facts |= {"private": listing.private, "changed": printable(listing.changed)}
        facts["files"] = {printable(path): file.size for path, file in sorted(listing.files.items())[:50]}
    return facts | ({"note": snapshot.note} if snapshot.note else {})
