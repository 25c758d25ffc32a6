"""The HTTP of the Hugging Face Hub on this machine: listings, files behind redirects, uploads through Git LFS, and its refusals."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

WRITER, READER = "hf_writer", "hf_reader"  # tokens


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """Files by commit, and commits by branch or tag."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        before = self.commits.get(self.refs.get(branch, ""), {})
        content = {**before, **files}
        commit = hashlib.sha1(repr((len(self.commits), sorted(content))).encode()).hexdigest()
        self.commits[commit], self.refs[branch] = content, commit
        return commit


class Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer("GET")

    def do_HEAD(self) -> None:
        self.answer("HEAD")

    def do_POST(self) -> None:
        self.answer("POST")

    def do_PUT(self) -> None:
        self.answer("PUT")

    def answer(self, method: str) -> None:
        hub, parts = self.server.hub, urlsplit(self.path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.requests.append((method, self.path, dict(self.headers)))
        steps = [unquote(step) for step in parts.path.strip("/").split("/")]
        if moved := next((old for old in hub.moved if old in parts.path), ""):
            return self.send(307, b"", {"Location": self.path.replace(moved, hub.moved[moved])})
        if self.server.is_cdn:
            return self.store(steps) if method == "PUT" else self.deliver(hub.large[steps[-1]], f'"{steps[-1]}"')
        if hub.busy > 0:
            hub.busy -= 1
            return self.send(429, b"slow down", {"Retry-After": hub.retry_after})
        if hub.down:
            return self.send(503, b"maintenance", {"Retry-After": "0"})
        if self.token() not in ("", WRITER, READER):
            return self.refuse(401, "", "Invalid credentials in Authorization header")
        if steps[:1] == ["api"]:
            return self.api(method, steps[1:])
        if steps[2:4] == ["info", "lfs"]:
            return self.lfs_batch(steps)
        if steps[2:3] == ["resolve"]:
            return self.resolve("/".join(steps[:2]), steps[3], "/".join(steps[4:]))
        return self.refuse(404, "", "Not Found")

    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    # ---- what anyone may ask
    def found(self, id: str, revision: str = "main") -> tuple[Repository, str] | None:
        """The repository and the commit of a revision; None once the refusal is sent."""
        repository = self.server.hub.repositories.get(id)
        if repository is None or (repository.private and not self.token()):
            self.refuse(404 if self.token() else 401, "RepoNotFound", "Repository not found")
            return None
        if repository.gated:
            self.refuse(401, "GatedRepo", f"Access to model {id} is restricted")
            return None
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return repository, commit

    def api(self, method: str, steps: list[str]) -> None:
        if steps[0] == "repos":
            return self.create()
        if steps[0] == "validate-yaml":
            text = json.loads(self.body)["content"]
            errors = [] if text.startswith("---\n") else [{"message": "no front matter"}]
            return self.reply({"errors": errors, "warnings": []}, 400 if errors else 200)
        if steps[0] == "whoami-v2":
            return self.reply({"name": "anna", "type": "user", "orgs": []})
        id, rest = "/".join(steps[1:3]), steps[3:]
        if rest[:1] == ["preupload"]:
            return self.preupload()
        if rest[:1] == ["commit"]:
            return self.commit(id, rest[1])
        if rest[:1] == ["branch"]:
            repository = self.server.hub.repositories[id]
            repository.refs.setdefault(rest[1], repository.refs["main"])
            return self.reply({})
        if rest == ["refs"]:
            if found := self.found(id):
                rows = [
                    {"name": name, "ref": f"refs/heads/{name}", "targetCommit": c} for name, c in found[0].refs.items()
                ]
                self.reply({"branches": rows, "tags": [], "converts": []})
            return None
        return self.listing(id, rest[1] if rest[:1] == ["revision"] else "main")

    def listing(self, id: str, revision: str) -> None:
        found = self.found(id, revision)
        if found is None:
            return
        repository, commit = found
        if id in self.server.hub.listings:
            return self.reply(self.server.hub.listings[id])
        rows: list[dict[str, Any]] = []
        for path, content in repository.commits[commit].items():
            row: dict[str, Any] = {"rfilename": path}
            if "blobs" in parse_qs(urlsplit(self.path).query):
                row |= {"size": len(content), "blobId": git_sha1(content)}
                if path.endswith((".safetensors", ".bin")):
                    row["lfs"] = {
                        "sha256": hashlib.sha256(content).hexdigest(),
                        "size": len(content),
                        "pointerSize": 134,
                    }
            rows.append(row)
        values = {
            "id": id,
            "sha": commit,
            "siblings": rows,
            "private": repository.private,
            "lastModified": "2026-11-30T10:00:00Z",
        }
        self.reply({**values, "gated": False, "disabled": False, "tags": [], "downloads": 3, "likes": 0})

    def resolve(self, id: str, revision: str, path: str) -> None:
        found = self.found(id, revision)
        if found is None:
            return
        repository, commit = found
        content = repository.commits[commit].get(path)
        if content is None:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        if not path.endswith((".safetensors", ".bin")):
            return self.deliver(content, f'"{git_sha1(content)}"', {"X-Repo-Commit": commit})
        digest = hashlib.sha256(content).hexdigest()
        self.server.hub.large[digest] = content
        linked = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{digest}"', "X-Repo-Commit": commit}
        self.send(302, b"", {"Location": f"{self.server.hub.cdn_url}/cdn/{digest}", **linked})

    def deliver(self, content: bytes, tag: str, headers: dict[str, str] | None = None) -> None:
        """Send a file, from the byte that was asked for; cut it as often as the test wants."""
        hub = self.server.hub
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start >= len(content) > 0:
            return self.send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        extent = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        rest = content[start:]
        if self.server.is_cdn and hub.cuts > 0:
            hub.cuts -= 1
            self.send(206 if start else 200, rest[: len(rest) // 2], {"ETag": tag, **extent}, length=len(rest))
            self.close_connection = True
            return
        if self.server.is_cdn and hub.lies:
            rest = bytes(len(rest))
        self.send(206 if start else 200, rest, {"ETag": tag, **extent, **(headers or {})})

    # ---- uploads
    def may_write(self) -> bool:
        if self.token() == WRITER:
            return True
        self.refuse(403 if self.token() else 401, "", "You don't have the rights to write here")
        return False

    def create(self) -> None:
        if not self.may_write():
            return
        asked = json.loads(self.body)
        id = f"{asked['organization']}/{asked['name']}"
        if id in self.server.hub.repositories:
            return self.reply(
                {"error": "You already created this model repo", "url": f"{self.server.hub.url}/{id}"}, 409
            )
        private = asked.get("private") is True or asked.get("visibility") == "private"
        self.server.hub.add(id, {".gitattributes": b"*.safetensors filter=lfs\n"}, private=private)
        self.reply({"url": f"{self.server.hub.url}/{id}", "name": id})

    def preupload(self) -> None:
        files = json.loads(self.body)["files"]
        rows = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in files
        ]
        if self.may_write():
            self.reply({"files": rows})

    def lfs_batch(self, steps: list[str]) -> None:
        if not self.may_write():
            return
        objects = [
            {
                "oid": asked["oid"],
                "size": asked["size"],
                "actions": {"upload": {"href": f"{self.server.hub.cdn_url}/upload/{asked['oid']}"}},
            }
            for asked in json.loads(self.body)["objects"]
        ]
        self.reply({"transfer": "basic", "objects": objects})

    def store(self, steps: list[str]) -> None:
        if hashlib.sha256(self.body).hexdigest() != steps[-1]:
            return self.send(400, b"another content")
        self.server.hub.large[steps[-1]] = self.body
        self.send(200, b"")

    def commit(self, id: str, branch: str) -> None:
        if not self.may_write():
            return
        files: dict[str, bytes] = {}
        for line in self.body.decode().splitlines():
            row = json.loads(line)
            if row["key"] == "file":
                files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            elif row["key"] == "lfsFile":
                files[row["value"]["path"]] = self.server.hub.large[row["value"]["oid"]]
        commit = self.server.hub.repositories[id].commit(files, branch)
        self.reply({"commitUrl": f"{self.server.hub.url}/{id}/commit/{commit}", "commitOid": commit})

    # ---- answers
    def reply(self, values: Any, status: int = 200) -> None:
        self.send(status, json.dumps(values).encode(), {"Content-Type": "application/json"})

    def refuse(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message}
        self.send(status, json.dumps({"error": message}).encode(), {key: text for key, text in headers.items() if text})

    def send(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, *, length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Quiet."""


class HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: FakeHub, is_cdn: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub, self.is_cdn = hub, is_cdn


class FakeHub:
    """The hub and the server of its large files.

    ``busy``: how many requests are answered with HTTP 429; ``cuts``: how many downloads break off; ``lies``: large files have
    another content; ``down``: HTTP 503; ``listings``: answers in place of true ones, by repository; ``moved``: new names of
    repositories.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.listings: dict[str, Any] = {}
        self.moved: dict[str, str] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.busy, self.cuts, self.retry_after, self.lies, self.down = 0, 0, "0", False, False
        self.servers = [HubServer(self, False), HubServer(self, True)]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.servers[0].server_port}"

    @property
    def cdn_url(self) -> str:
        return f"http://localhost:{self.servers[1].server_port}"

    def add(self, id: str, files: dict[str, bytes], *, private: bool = False, gated: bool = False) -> Repository:
        repository = self.repositories.setdefault(id, Repository(private, gated))
        repository.commit(files)
        return repository

    def paths(self, method: str = "GET") -> list[str]:
        return [path for asked, path, _ in self.requests if asked == method]


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    hub = FakeHub()
    for server in hub.servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        for server in hub.servers:
            server.shutdown()
            server.server_close()
