"""One's own recordings made searchable: what was found where, and what a person answered about it.

``SoundIndex`` (``database.py``) holds the windows of recordings with their vectors, scores and events; ``build.py`` fills it.
"""

from auricle.index.database import SoundIndex

__all__ = ["SoundIndex"]
