"""``auricle review``: ``review.py`` holds the settings, ``ask.py`` writes the page, ``answers.py`` reads the answers."""
