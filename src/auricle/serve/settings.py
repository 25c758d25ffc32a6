"""The options of ``auricle serve``. Neither PyTorch nor FastAPI is imported here: ``--help`` reads it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from auricle.core.errors import AuricleError
from auricle.core.options import argument, check_choices, check_ranges, option, paths_as_text, size_of
from auricle.inference.config import PRECISIONS

WINDOW = 2.0  # seconds; short enough to show when something sounds, long enough for a tagger
SHORTEST_TOKEN = 8  # characters


@dataclass(frozen=True)
class ServeConfig:
    """What the page offers, where it is served, and the limits of what it accepts."""

    folders: tuple[str, ...] = argument(
        "folders of recordings, or recordings, that the page offers", many=True, default=()
    )
    model: tuple[str, ...] = option(
        (), "published names, weight files or run folders; the first is the default", flag="model"
    )
    weights: str | None = option(None, "local weight file of the first --model, a published name")
    index: str | None = option(None, "folder of 'auricle index': similar sounds and review")
    runs: str | None = option(None, "folder of run folders, which are listed with their reports")
    reviewer: str = option("", "name that is kept with the answers of the review", advanced=True)
    state: str | None = option(
        None,
        "folder for uploads, results, labels and trained heads; auto: one of its own in the cache, the same at the next start",
        special={"auto": None},
    )
    host: str = option("127.0.0.1", "address to listen on; 0.0.0.0: reachable from other machines, with a token")
    port: int | None = option(8765, "port, or auto: any that is free", special={"auto": None})
    token: str | None = option(
        "auto",
        "secret that requests must have; auto: a new one where --host is reached from other machines, else none",
        special={"none": None},
    )
    allow_host: tuple[str, ...] = option(
        (), "further host names under which the page is reached, such as that of a proxy", advanced=True
    )
    window: float = option(WINDOW, "seconds scored at a time, where a request does not say")
    hop: float | None = option(None, "seconds between two windows, or auto: half a window", special={"auto": None})
    max_upload: str = option("200MB", "largest upload")
    max_seconds: float = option(4 * 3600.0, "longest recording that is uploaded, in seconds")
    max_memory: str = option("1GB", "memory of a process that decodes an upload", advanced=True)
    max_cpu: float = option(300.0, "processor seconds that decoding one upload may take", advanced=True)
    max_stored: str = option("20GB", "most that all decoded uploads together may take on the disk", advanced=True)
    jobs: int = option(1, "jobs that run at once")
    queue: int = option(32, "most jobs that wait", advanced=True)
    decoders: int = option(2, "uploads that are decoded at once; others wait", advanced=True)
    connections: int = option(200, "most connections at once", advanced=True)
    read_timeout: float = option(
        30.0, "seconds that a client may send nothing in the middle of a request", advanced=True
    )
    precision: str = option("float32", "arithmetic inside the network; fp16 is for GPUs", choices=PRECISIONS)
    device: str = option("auto", "cpu, cuda, cuda:1, or auto: the first GPU if there is one")
    batch_size: int = option(8, "windows scored together", advanced=True)

    def __post_init__(self) -> None:
        paths_as_text(self)
        check_choices(self)
        for name in ("folders", "model", "allow_host"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        check_ranges(self, ("jobs", "queue", "decoders", "connections", "batch_size"), 1)
        check_ranges(self, ("port",), 0, 65535)
        for name in ("window", "hop", "max_seconds", "max_cpu", "read_timeout"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise AuricleError(f"--{name.replace('_', '-')} is seconds above 0, got {value}")
        for name in ("max_upload", "max_memory", "max_stored"):
            size_of(getattr(self, name), f"--{name.replace('_', '-')}")
        if not (self.model or self.index):
            raise AuricleError("auricle serve needs --model (or --index); auricle serve --help shows an example")
        if self.token not in (None, "auto") and (len(self.token) < SHORTEST_TOKEN or not self.token.isascii()):
            raise AuricleError(f"--token has {SHORTEST_TOKEN} or more ASCII characters, or is auto or none")
        if self.token is None and not self.on_loopback:
            raise AuricleError(
                f"--host {self.host} is reached from other machines, so that it needs a token: leave --token none out"
            )

    @property
    def on_loopback(self) -> bool:
        """True if only this machine reaches the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def upload_bytes(self) -> int:
        return size_of(self.max_upload)

    @property
    def memory_bytes(self) -> int:
        return size_of(self.max_memory)

    @property
    def stored_bytes(self) -> int:
        return size_of(self.max_stored)
