"""Uploads: ``uploads.py`` receives and keeps them, ``decoding.py`` has them decoded in a limited process (``decoding_work.py``)."""
