"""Open a page for your recordings in the browser: labels over time, similar sounds, review, training; and an HTTP API.

  auricle serve recordings/ --model mn04_as                     http://127.0.0.1:8765/
  auricle serve recordings/ --model mn04_as --index INDEX       with similar sounds and review
  auricle serve --model runs/detector mn04_as --runs runs       two models, and the reports of runs
  auricle serve recordings/ --model mn04_as --host 0.0.0.0      reachable from other machines, with the token that is printed

Only this machine reaches the page unless --host says otherwise. Uploads, results, labels and trained heads are kept in --state
and are there at the next start. Ctrl-C ends the server (exit code 130), SIGTERM too (0).
"""

from __future__ import annotations

import argparse
import socket
import sys

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import EXIT_INTERRUPTED, EXIT_OK
from auricle.core.console import printable
from auricle.core.errors import MissingExtra
from auricle.core.io import dumps
from auricle.serve.settings import ServeConfig

EXTRA = ("fastapi", "starlette", "uvicorn", "python_multipart", "pydantic", "anyio")


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, ServeConfig)
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--json", action="store_true", help="print address, token and folder of state as one line of JSON"
    )
    parser.add_argument("--quiet", action="store_true", help="print the address and nothing else")


def run(args: argparse.Namespace) -> int:
    """Return 0 after SIGTERM, 130 after Ctrl-C."""
    config = config_from(ServeConfig, args)
    with open_socket(config.host, config.port) as opened:  # first: a port in use is known before a model is loaded
        return serve(config, opened, json=args.json, quiet=args.quiet, open_page=args.open)


def open_socket(host: str, port: int | None) -> socket.socket:
    """Open the socket of a server.

    Raises:
        AuricleError: the port is in use, the address is not one of this machine, or the [serve] extra is missing.
    """
    try:
        import fastapi  # noqa: F401

        from auricle.serve.server import listen
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise MissingExtra("the page in the browser", "serve") from None
    return listen(host, port)


def serve(
    config: ServeConfig, opened: socket.socket, *, json: bool = False, quiet: bool = False, open_page: bool = False
) -> int:
    """Serve the page until a signal ends it, and return the exit code."""
    from auricle.serve.app import make_app
    from auricle.serve.server import address_of, run_server

    app = make_app(config)
    token, state = app.state.token, app.state.service.state
    address = address_of(config, opened, token)

    def on_ready() -> None:
        if json:
            print(dumps({"address": address, "token": token, "state": str(state)}), flush=True)
        else:
            print(address, flush=True)
        if not (json or quiet):
            print(
                f"serve: uploads, results and labels are kept in {printable(str(state))}; Ctrl-C ends", file=sys.stderr
            )
        if open_page:
            import webbrowser

            webbrowser.open(address)

    interrupted = run_server(app, opened, config, on_ready)
    return EXIT_INTERRUPTED if interrupted else EXIT_OK
