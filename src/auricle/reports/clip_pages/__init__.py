"""Pages that show clips with sound and picture, one HTML file each.

``clip_page.*`` is what they share; ``label_page.*`` asks for labels, ``review_page.*`` whether detections are right,
``search_page.*`` shows what a search found.
"""
