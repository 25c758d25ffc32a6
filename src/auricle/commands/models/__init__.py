"""``auricle models``: list, show, download, convert, merge, verify; published recipes."""
