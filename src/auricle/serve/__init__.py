"""``auricle serve``: an HTTP API over the sessions, the index and the review, and the page that uses it.

``settings`` are the options, ``app`` makes the application, ``server`` runs it; ``service`` holds what requests share,
``routes/`` has a file per topic of the API, and ``page/`` is the page.
"""
