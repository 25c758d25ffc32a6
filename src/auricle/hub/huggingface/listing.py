"""List the files of a repository of the hub with one request, and give the reason where there is no answer."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from auricle.core.console import listed, printable
from auricle.core.errors import AuricleError
from auricle.hub.download import ATTEMPTS, LEAST_RATE
from auricle.hub.huggingface.name import COMMIT, HubSettings, RepositoryName, is_safe_path
from auricle.hub.timed_request import RequestError, TimedRequest, request_to, seconds_to_wait

TIMEOUT = 15.0  # seconds for an answer about a repository
MOST_BYTES = 16 << 20  # of an answer
MOST_FILES = 100_000
SHA256 = re.compile(r"[0-9a-f]{64}")


class HubUnreachable(AuricleError):
    """The hub cannot be reached, or does not work now. A copy on this machine may be used in its place."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        path: in the repository.
        size: bytes; None if the hub does not state it.
        digest: SHA-256 of the content (64 digits), or Git's checksum of a small file (40 digits); "" if it is not stated.
    """

    path: str
    size: int | None
    digest: str

    @property
    def sha256(self) -> str:
        return self.digest if len(self.digest) == 64 else ""


@dataclass(frozen=True)
class Listing:
    """One commit of a repository: its files, whether it is private, and the time of its last change, as text."""

    commit: str
    files: dict[str, RemoteFile]
    private: bool = False
    changed: str = ""


def list_repository(name: RepositoryName, settings: HubSettings) -> Listing:
    """Ask the hub for the files of a revision.

    Raises:
        HubUnreachable: no answer, or one that says that the hub does not work.
        AuricleError: there is no such repository or revision, it may not be read, or the answer is not a listing.
    """
    path = f"/api/models/{name.id}/revision/{quote(name.revision, safe='')}?blobs=true"
    try:
        answer = _ask(settings, path)
    except urllib.error.HTTPError as error:
        raise _refusal(error, name, settings) from None
    return _listing(answer, name, settings)


def _ask(settings: HubSettings, path: str) -> Any:
    """Return the JSON that the hub answers with. Raises HTTPError for what it refuses."""
    for attempt in range(ATTEMPTS):
        try:
            return _answer(settings, path)
        except urllib.error.HTTPError as error:
            wait = seconds_to_wait(error)
            again = wait is not None or error.code >= 500
            if again and attempt < ATTEMPTS - 1:
                time.sleep(wait or 0.0)
            elif again or error.code == 429:
                raise HubUnreachable(f"{settings.endpoint} {_busy(error)}") from None
            else:
                raise
    raise AssertionError("every attempt returns or raises")


def _answer(settings: HubSettings, path: str) -> Any:
    try:
        with TimedRequest(request_to(settings.endpoint + path, token=settings.token), TIMEOUT, LEAST_RATE) as request:
            request.head()
            content = bytearray()
            for block in request.blocks():
                content += block
                if len(content) > MOST_BYTES:
                    raise AuricleError(f"{settings.endpoint} sends more than {MOST_BYTES} bytes about one repository")
    except TimeoutError:
        raise HubUnreachable(f"{settings.endpoint} does not answer within {TIMEOUT:g} s") from None
    except RequestError as error:
        cause = error.cause
        if isinstance(cause, urllib.error.HTTPError):
            raise cause from None
        if isinstance(cause, (OSError, http.client.HTTPException)):
            raise HubUnreachable(f"{settings.endpoint} cannot be reached ({_reason(cause)})") from None
        raise AuricleError(f"{settings.endpoint} answers with something else than HTTP ({_reason(cause)})") from None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise HubUnreachable(
            f"{settings.endpoint} answers with something else than JSON (a login page, or a proxy's?)"
        ) from None


def _reason(error: BaseException) -> str:
    return printable(str(getattr(error, "reason", "") or error or type(error).__name__))[:200]


def _busy(error: urllib.error.HTTPError) -> str:
    if error.code != 429:
        return f"answers HTTP {error.code} {printable(str(error.reason))[:100]}"
    after = printable(error.headers.get("Retry-After") or "")[:20]
    return f"has too many requests (HTTP 429); try again {f'in {after} s' if after.isdigit() else 'later'}, or set HF_TOKEN"


def _refusal(error: urllib.error.HTTPError, name: RepositoryName, settings: HubSettings) -> AuricleError:
    """Return the error for an answer with which the hub refuses a request."""
    code, message = error.headers.get("X-Error-Code") or "", error.headers.get("X-Error-Message") or ""
    where = f"{settings.endpoint}/{name.id}"
    if code == "GatedRepo":
        return AuricleError(
            f"{where} is gated: accept its conditions there with your account, and set HF_TOKEN to a token of that account"
        )
    if code == "RevisionNotFound" or (error.code == 404 and code != "RepoNotFound" and name.revision != "main"):
        return AuricleError(f"{where} has no revision '{name.revision}'{_revisions(name, settings)}")
    if error.code == 401 and settings.token and "credential" in message.lower():
        return AuricleError(
            f"{settings.endpoint} refuses the token from {settings.token_from}; "
            f"make another one at {settings.endpoint}/settings/tokens"
        )
    if error.code in (401, 403, 404):
        may = (
            f"the token from {settings.token_from} may not read it"
            if settings.token
            else "it is private: set HF_TOKEN, or log in with 'hf auth login'"
        )
        return AuricleError(f"there is no repository {name.id} at {settings.endpoint}, or {may}")
    said = f": {printable(message)[:200]}" if message else ""
    return AuricleError(f"{settings.endpoint} answers HTTP {error.code} about {name.id}{said}")


def _revisions(name: RepositoryName, settings: HubSettings) -> str:
    """ "; it has main, v1": the branches and tags, as far as they are known."""
    try:
        answer = _ask(settings, f"/api/models/{name.id}/refs")
    except (AuricleError, urllib.error.HTTPError):
        return ""
    groups = [answer.get(kind) for kind in ("branches", "tags")] if isinstance(answer, dict) else []
    rows = [row for group in groups if isinstance(group, list) for row in group if isinstance(row, dict)]
    names = [printable(row["name"])[:60] for row in rows if isinstance(row.get("name"), str)]
    return f"; it has {listed(names, 10)}" if names else ""


def _listing(answer: Any, name: RepositoryName, settings: HubSettings) -> Listing:
    """Check an answer of the hub. Every path is inside the repository, every checksum is one."""
    rows = answer.get("siblings") if isinstance(answer, dict) else None
    commit = answer.get("sha") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise AuricleError(f"{settings.endpoint} answers about {name.id} without a commit and a list of files")
    if len(rows) > MOST_FILES:
        raise AuricleError(f"{name} lists {len(rows):,} files; no model has more than {MOST_FILES:,}")
    files: dict[str, RemoteFile] = {}
    for row in rows:
        path = row.get("rfilename") if isinstance(row, dict) else None
        if not isinstance(path, str) or not is_safe_path(path):
            shown = printable(str(path))[:100]
            raise AuricleError(f"{name} lists the file '{shown}', which leads out of the repository: it was refused")
        files[path] = _file(path, row)
    changed = answer.get("lastModified")
    return Listing(commit, files, answer.get("private") is True, changed[:40] if isinstance(changed, str) else "")


def _file(path: str, row: dict[str, Any]) -> RemoteFile:
    stated = row.get("lfs")
    large: dict[str, Any] = stated if isinstance(stated, dict) else {}
    size, digest, small = row.get("size"), large.get("sha256") or large.get("oid"), row.get("blobId")
    whole = size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None
    if isinstance(digest, str) and SHA256.fullmatch(digest):
        return RemoteFile(path, whole, digest)
    return RemoteFile(path, whole, small if isinstance(small, str) and COMMIT.fullmatch(small) and not large else "")
