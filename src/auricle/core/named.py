"""Objects that a user names on a command line or in a file: ``MODULE:NAME``."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from auricle.core.errors import AuricleError


def import_named(name: str, what: str, example: str) -> Any:
    """Return the object NAME of the module MODULE, which may be a file in the current folder.

    Args:
        name: ``MODULE:NAME``.
        what: What it should name, for messages: "text side".
        example: A name of that form, for messages.

    Raises:
        AuricleError: The name has another form, or cannot be imported.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not attribute:
        raise AuricleError(f"'{name}' names no {what}; expected MODULE:NAME, such as {example}")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module in the current folder, also for the installed command
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise AuricleError(f"the {what} {name} cannot be imported: {error}") from error
