"""How long a test waits for a process or a page before it counts as hung."""

PATIENCE = 300.0  # seconds: far beyond what a busy machine needs
