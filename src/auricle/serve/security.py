"""Who may ask: host names, origins, the token; and the headers that keep a page to itself.

- A page of another site must not use the server of this machine. Requests whose Host is neither an address nor a known
  name are refused (a name that an attacker points at 127.0.0.1), and so are requests whose Origin or Sec-Fetch-Site says
  that another site sent them.
- Bound to anything but loopback, every request needs the token: ``Authorization: Bearer TOKEN``, or the cookie that
  opening ``/?token=TOKEN`` sets.
- The policy of the page allows this server only: no request goes elsewhere.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auricle.serve.errors import error_answer
from auricle.serve.settings import ServeConfig

COOKIE = "auricle_token"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; frame-src 'self'"
)
# of the report of a run: one file with its script, style and sounds inside, apart from the origin of the page
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
}


def token_of(config: ServeConfig) -> str | None:
    """Return the token that requests need; None where only this machine reaches the server and none was asked for."""
    if config.token == "auto":
        return None if config.on_loopback else secrets.token_urlsafe(24)
    return config.token


class Gate:
    """ASGI middleware that refuses requests of other sites and without the token, and adds the headers of HEADERS.

    Args:
        app: the application behind it.
        config: for the host names that are known.
        token: what requests must have; None: nothing.
    """

    def __init__(self, app: ASGIApp, config: ServeConfig, token: str | None):
        self.app, self.token = app, token
        own = ("localhost", socket.gethostname(), socket.getfqdn(), config.host, *config.allow_host)
        self.names = {name.lower().rstrip(".") for name in own}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._site_error(scope, headers) or None
        if refused is not None:
            await error_answer(*refused)(scope, receive, _with_headers(send))
        elif self._brings_token(scope):
            await self._keep_token(scope)(scope, receive, _with_headers(send))
        elif self.token is not None and not self._has_token(headers):
            message = (
                "this server needs its token: open the address that 'auricle serve' printed, or send Authorization: "
                "Bearer TOKEN"
            )
            await error_answer(401, message, {"www-authenticate": "Bearer"})(scope, receive, _with_headers(send))
        else:
            await self.app(scope, receive, _with_headers(send))

    def _site_error(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Status and message for a request that another site caused; None for any other."""
        host = headers.get("host", "")
        if not self._is_known(host):
            return (
                421,
                f"the host '{host}' is not a name of this server; use its address, or start it with --allow-host",
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit_host(origin) != host.lower():
            return 403, f"a page of {origin} must not use this server"
        opens_page = scope["method"] in SAFE_METHODS and not scope["path"].startswith("/api/")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not opens_page:
            return 403, "a page of another site must not use this server"
        return None

    def _is_known(self, host: str) -> bool:
        """Return True for an address and for a known name; the port does not matter."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name.rstrip(".") in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _brings_token(self, scope: Scope) -> bool:
        """Return True for the address that was printed: the page with the token behind it."""
        return scope["path"] == "/" and self.token is not None and self._is_token(_token_in_query(scope))

    def _keep_token(self, scope: Scope) -> RedirectResponse:
        answer = RedirectResponse("/", 303, headers={"cache-control": "no-store"})
        answer.set_cookie(COOKIE, self.token or "", httponly=True, samesite="strict", path="/")
        return answer

    def _has_token(self, headers: Headers) -> bool:
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._is_token(value.strip())
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _is_token(self, text: str) -> bool:
        return self.token is not None and hmac.compare_digest(text.encode(), self.token.encode())


def urlsplit_host(origin: str) -> str:
    """Return host and port of an origin, as a Host header has them; "" for "null" and for what is no origin."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _token_in_query(scope: Scope) -> str:
    values = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])
    return values[0]


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return with_headers
