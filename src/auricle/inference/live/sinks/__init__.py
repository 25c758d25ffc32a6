"""Where the events of a stream go."""
