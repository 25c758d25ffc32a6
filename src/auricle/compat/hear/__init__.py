"""HEAR's interface, in modules that HEAR's tools import by name.

``auricle.compat.hear.encoder`` is any encoder (``-m runs/first``: a run folder, a weight file or a published name),
``auricle.compat.hear.mn04_as`` that published encoder, ``auricle.compat.hear.mn10_all_b_mel_avgs`` a published wrapper of
EfficientAT (``efficientat``). ``validator`` checks a module as HEAR's own validator does.
"""

from __future__ import annotations

import re
import sys
from types import ModuleType

from auricle.compat.hear.efficientat import BLOCKS, GATES, POOLINGS, WRAPPERS, Hear, Wrapper, wrapper
from auricle.compat.hear.encoder import EncoderModule
from auricle.hub.published.table import RECORDS

__all__ = ["BLOCKS", "GATES", "POOLINGS", "WRAPPERS", "EncoderModule", "Hear", "Wrapper", "wrapper"]


def _as_module(name: str, interface: Wrapper | EncoderModule, description: str) -> ModuleType:
    """Return an interface as a module, because HEAR's tools import an embedding by name."""
    module = ModuleType(f"{__name__}.{name}", description)
    for function in ("load_model", "get_scene_embeddings", "get_timestamp_embeddings"):
        setattr(module, function, getattr(interface, function))
    return module


def module_name(model: str) -> str:
    """Return the name of the module of a published encoder: letters, digits and underscores of its name."""
    return re.sub(r"\W", "_", model)


for _record in RECORDS:
    _module = _as_module(module_name(_record.name), EncoderModule(_record.name), f"The encoder {_record.name}")
    sys.modules[_module.__name__] = _module
for _name, _entry in WRAPPERS.items():
    _text = f"{_name}: {', '.join(_entry.features)} of {_entry.model}"
    sys.modules[f"{__name__}.{_name}"] = _as_module(_name, _entry, _text)
