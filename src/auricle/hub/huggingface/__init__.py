"""The Hugging Face Hub: ``hf://owner/name`` as a model, and encoders published there with a model card.

``name.py`` what a name means, ``listing.py`` what a repository holds, ``snapshot.py`` its files on this machine, ``card.py`` the
model card, ``publish.py`` folders and uploads.
"""
