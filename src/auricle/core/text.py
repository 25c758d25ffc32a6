"""Text for people: names without control characters, and times as h:mm:ss."""

from __future__ import annotations

import re

# Control characters, letters that change the direction or are invisible, and bytes that are no UTF-8 (surrogates).
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def printable(text: str, keep: str = "") -> str:
    r"""Return a text that a terminal shows as it is: a file name may hold an escape sequence, a line break or worse.

    Args:
        text: any text.
        keep: control characters that stay.

    Returns:
        The text with each unsafe character written as ``\u001b`` is, which JSON reads back.

    Example:
        >>> printable("good.wav\x1b[2J")
        'good.wav\\u001b[2J'
    """
    return UNSAFE.sub(lambda match: match[0] if match[0] in keep else _escaped(match[0]), text)


def _escaped(letter: str) -> str:
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def clock(seconds: float, decimals: int = 0) -> str:
    """Return seconds as h:mm:ss, cut (not rounded) to ``decimals``.

    Example:
        >>> clock(3725.96), clock(7.5, 1)
        ('1:02:05', '0:00:07.5')
    """
    units = int(round(seconds * 10**decimals, 3))
    whole, rest = divmod(units, 10**decimals)
    minutes, second = divmod(whole, 60)
    tail = f".{rest:0{decimals}d}" if decimals else ""
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}{tail}"


def audio_length(seconds: float) -> str:
    """Return the length of a recording: "7.25 s" below a minute, else h:mm:ss."""
    return f"{seconds:.2f} s" if seconds < 60 else clock(seconds)
