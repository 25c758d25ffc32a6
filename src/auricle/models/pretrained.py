"""``Encoder.save_pretrained`` and ``push_to_hub``: names that users of other libraries look for; the code is in ``hub/``.

``hub/`` imports this folder, so it is imported when a method is called: the one place where a folder uses one below it, named as
such in ``tests/test_architecture.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from auricle.hub.huggingface.publish import Published
    from auricle.models.base import Encoder


class PretrainedMethods:
    """The methods of an encoder that write it for others."""

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write ``model.safetensors``, ``config.json`` and a model card (``README.md``) to a folder.

        ``auricle.load(folder)`` gives the encoder again. The card holds what the encoder itself knows: network, front end, classes,
        thresholds, licence. ``auricle models push RUN --dry-run`` adds what a run folder knows: data and scores.

        Args:
            folder: is made; files of these names are replaced, but for a card whose mark was removed.

        Returns:
            The folder.

        Raises:
            AuricleError: the folder cannot be written, or holds a run.

        Example:
            encoder.save_pretrained("frogs")
            encoder = auricle.load("frogs")
        """
        from auricle.hub.huggingface.publish import save_pretrained

        return save_pretrained(cast("Encoder", self), folder)

    def push_to_hub(self, name: str, *, private: bool | None = None, token: str | None = None) -> Published:
        """Upload the encoder and a model card to the Hugging Face Hub, in one commit.

        Args:
            name: "owner/name"; the repository is made if it does not exist. "hf://owner/name@branch" names a branch.
            private: True: a new repository is private; None: as the account has it.
            token: of the user; None: the variable HF_TOKEN, or that of ``hf auth login``.

        Returns:
            ``Published``: url, commit, and the uploaded files with their sizes.

        Raises:
            AuricleError: the name is none, there is no token, requests are switched off, or the hub refuses.
            MissingExtra: ``huggingface_hub`` (the extra ``[hf]``) is not installed.

        Example:
            encoder.push_to_hub("anna/frogs", private=True)
        """
        from auricle.hub.huggingface.publish import push_to_hub

        return push_to_hub(cast("Encoder", self), name, private=private, token=token)
