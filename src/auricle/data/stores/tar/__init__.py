"""Tar shards of recordings in the layout of webdataset.

``index.py``: where the recordings are in a shard. ``ranges.py``: bytes of a shard on a disk or at an address. ``store.py``: the
ClipStore. ``write.py``: shards from a manifest.
"""
