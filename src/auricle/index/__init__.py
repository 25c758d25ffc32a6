"""One's own recordings made searchable: what was found where, and what a person answered about it."""
