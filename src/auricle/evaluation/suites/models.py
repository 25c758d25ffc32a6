"""A model by what names it. No PyTorch here until it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auricle.models.base import Encoder


@dataclass(frozen=True)
class ModelToMeasure:
    """A model by what names it, so that another process can load it.

    Attributes:
        name: A published name, a weight file, a run folder or hf://owner/name.
        weights: Local weight file of a published name.
        head: Of several heads, the one that is measured; None: the first one.
    """

    name: str
    weights: str | None = None
    head: str | None = None

    @property
    def place(self) -> str:
        """Absolute path of a run folder or weight file: two runs may have one relative name; "" for others."""
        path = Path(self.name).expanduser()
        return str(path.resolve()) if path.exists() else ""

    @property
    def run(self) -> Path | None:
        """The run folder, where the model is one."""
        path = Path(self.name).expanduser()
        return path if (path / "config.yaml").is_file() else None

    def load(self) -> Encoder:
        """Load the encoder, under the name that it was given. Raises AuricleError where it cannot be loaded."""
        from auricle.hub.huggingface.name import is_repository
        from auricle.hub.load import load

        encoder = load(self.name, weights=self.weights)
        if self.place or is_repository(self.name):
            encoder.update_info(name=self.name)  # two runs of one family are two models in the results
        if self.head is None:
            return encoder
        from auricle.models.heads.joined import with_one_head

        chosen = with_one_head(encoder, self.head)
        chosen.update_info(name=f"{encoder.info.name} head {self.head}")
        return chosen
