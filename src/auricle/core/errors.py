"""What a person did that we cannot go on with, in words. Everything else is our own mistake and keeps its traceback."""


class AuricleError(ValueError):
    """Says what was found, what was expected and what to do next. The command line prints it and exits with 2."""


class AudioError(AuricleError):
    """One audio file cannot be used. Over a folder it is counted, reported at the end, and the run goes on."""


class MissingExtra(AuricleError, ImportError):
    """An optional package is not installed; the message holds the exact install line."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs the [{extra}] extra: pip install 'auricle[{extra}]'")


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """'; did you mean …?' for an unknown name, or the list of all when it is short and nothing is near."""
    import difflib

    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {', '.join(close)}?"
    return f"; known: {', '.join(known)}" if len(known) <= 20 else ""
