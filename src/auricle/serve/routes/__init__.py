"""The routes of the API, a file per topic. Each has a ``router``; ``shared`` holds what they have in common."""
