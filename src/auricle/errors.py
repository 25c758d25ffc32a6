"""The errors that Auricle raises for what a user can change: ``from auricle.errors import AuricleError``.

``AuricleError`` is a ValueError; its message states what was found, what was expected and what to do. ``AudioError``: one
recording cannot be used. ``MissingExtra``: an optional package is not installed. Other exceptions are faults of the program.
"""

from auricle.core.errors import AudioError, AuricleError, MissingExtra

__all__ = ["AudioError", "AuricleError", "MissingExtra"]
