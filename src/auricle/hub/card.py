"""``card.md``: what a run's encoder is, for whoever finds the folder. Everything in it is read from the run."""

from __future__ import annotations

from typing import Any

from auricle.hub.run import RunFolder
from auricle.models.contract import EncoderInfo


def write_card(run: RunFolder, info: EncoderInfo, facts: dict[str, Any]) -> None:
    """``facts``: name -> value, in the order they should stand."""
    from auricle.atomic import write_text

    rows = {
        "family": info.family,
        "sample rate": f"{info.sample_rate} Hz",
        "front end": info.front_end,
        "frames": f"{info.frame_width} values every {1000 * info.hop_seconds:g} ms",
        "clip embedding": f"{info.clip_width} values",
        "licence": info.licence,
        **facts,
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    code = (
        f"import auricle\nenc = auricle.load({str(run.path)!r})\nout = enc(waveform)  # (B, S) at {info.sample_rate} Hz"
    )
    ends = "Made by: see `command.txt` and `config.yaml`. How good it is: `auricle report` writes `report.html` here."
    write_text(
        run.card,
        f"# {info.name}\n\n| | |\n|---|---|\n{table}\n\n```python\n{code}\n```\n\n{ends}\n",
    )
