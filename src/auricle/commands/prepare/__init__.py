"""``auricle prepare``: log-mel folders with a manifest, folders for the original programs, lists, speech features."""
