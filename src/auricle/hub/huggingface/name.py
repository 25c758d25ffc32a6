"""The name of a repository, ``hf://owner/name``, and the settings of the hub, which are those of ``huggingface_hub``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from auricle.core.errors import AuricleError
from auricle.hub.download import is_offline

PREFIX = "hf://"
MAIN_REVISION = "main"
COMMIT = re.compile(r"[0-9a-f]{40}")
FORM = "hf://owner/name, hf://owner/name@revision or hf://owner/name/file.safetensors"
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")
REVISION = re.compile(r"[\w.+-]+(?:/[\w.+-]+)*")
PULL_REQUEST = re.compile(r"(refs/(?:pr|convert)/[\w.-]+)(?:/(.*))?")
OTHER_KINDS = ("datasets", "spaces", "buckets", "kernels", "collections")
ENDPOINT = "https://huggingface.co"
TRUE = ("1", "on", "yes", "true")


@dataclass(frozen=True)
class RepositoryName:
    """A model repository of the hub.

    Attributes:
        owner: the user or organisation.
        name: of the repository.
        revision: a branch, a tag or a commit.
        file: one file in it; "" for the usual one.
    """

    owner: str
    name: str
    revision: str = MAIN_REVISION
    file: str = ""

    @property
    def id(self) -> str:
        """ "owner/name"."""
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        revision = "" if self.revision == MAIN_REVISION else f"@{self.revision}"
        return f"{PREFIX}{self.id}{revision}{'/' if self.file else ''}{self.file}"

    @classmethod
    def parse(cls, text: str) -> RepositoryName:
        """Read ``hf://owner/name[@revision][/file]``.

        Raises:
            AuricleError: for anything else.
        """
        owner, _, rest = text.removeprefix(PREFIX).removeprefix("models/").partition("/")
        if owner in OTHER_KINDS:
            raise AuricleError(f"{text} is in {owner} of the hub; a model is {FORM}")
        name, revision, file = _parts(rest)
        if not all(PART.fullmatch(part) and ".." not in part for part in (owner, name)):
            raise AuricleError(f"{text} is no name of a model repository; expected {FORM}")
        if not REVISION.fullmatch(revision) or ".." in revision:
            raise AuricleError(f"{text} names the revision '{revision}': a branch, a tag or a commit was expected")
        if file and not is_safe_path(file):
            raise AuricleError(f"{text} names a file that leads out of the repository")
        return cls(owner, name, revision, file)


def _parts(rest: str) -> tuple[str, str, str]:
    """Return name, revision and file of ``name[@revision][/file]``; a slash in a revision is written as %2F."""
    if "@" not in rest.partition("/")[0]:
        name, _, file = rest.partition("/")
        return name, MAIN_REVISION, file
    name, _, after = rest.partition("@")
    if found := PULL_REQUEST.fullmatch(after):
        return name, found[1], found[2] or ""
    revision, _, file = after.partition("/")
    return name, unquote(revision), file


def is_repository(name: object) -> bool:
    """Return True for the name of a repository of the hub."""
    return isinstance(name, str) and name.startswith(PREFIX)


def is_safe_path(file: str) -> bool:
    """Return True for the path of a file inside a repository: no "..", no root, no drive, no backslash."""
    path = PurePosixPath(file)
    odd = not path.parts or path.is_absolute() or {".", ".."} & set(file.split("/")) or ":" in path.parts[0]
    return not odd and "\\" not in file and file.isprintable() and len(file) <= 1000


@dataclass(frozen=True)
class HubSettings:
    """Where the hub is, and who asks.

    Attributes:
        endpoint: address of the hub.
        token: of the user; "" without one.
        token_from: where the token was found.
        cache: the folder that ``huggingface_hub`` keeps downloads in.
        offline: True: no request is made.
        why_offline: what switched requests off.
    """

    endpoint: str
    token: str = field(repr=False)
    token_from: str
    cache: Path
    offline: bool
    why_offline: str = ""

    @classmethod
    def from_environment(cls, *, token: str | None = None, offline: bool | None = None) -> HubSettings:
        """Read HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE and AURICLE_OFFLINE.

        Args:
            token: in place of HF_TOKEN and of the token that ``hf auth login`` saved.
            offline: in place of HF_HUB_OFFLINE and AURICLE_OFFLINE.

        Raises:
            AuricleError: for an address that is none.
        """
        endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
        if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname:
            raise AuricleError(f"HF_ENDPOINT is '{endpoint}'; expected an address such as {ENDPOINT}")
        found, where = (token, "token=") if token is not None else _token()
        if found and not (found.isascii() and found.isprintable() and " " not in found):
            raise AuricleError(f"the token from {where} holds characters that no token has; copy it again")
        off, why = _offline() if offline is None else (offline, "offline=True" if offline else "")
        return cls(endpoint, found, where, _cache(), off, why)

    def url(self, name: RepositoryName, commit: str, file: str) -> str:
        """Return the address of a file."""
        return f"{self.endpoint}/{name.id}/resolve/{quote(commit, safe='')}/{quote(file)}"


def _home() -> Path:
    if chosen := os.environ.get("HF_HOME"):
        return Path(os.path.expandvars(chosen)).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(caches) / "huggingface"


def _cache() -> Path:
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expandvars(chosen)).expanduser() if chosen else _home() / "hub"


def _token() -> tuple[str, str]:
    """Return the user's token and where it was found; "" where there is none, or it may not be used unasked."""
    if _is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        return "", ""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := os.environ.get(variable, "").strip():
            return token, variable
    file = Path(os.path.expandvars(os.environ.get("HF_TOKEN_PATH") or str(_home() / "token"))).expanduser()
    try:
        return file.read_text(encoding="utf-8").strip(), str(file)
    except (OSError, ValueError):
        return "", ""


def _offline() -> tuple[bool, str]:
    if is_offline():
        return True, "AURICLE_OFFLINE"
    return next(((True, name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if _is_true(name)), (False, ""))


def _is_true(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in TRUE
