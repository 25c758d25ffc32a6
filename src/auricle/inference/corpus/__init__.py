"""Workers of a corpus: what a process does that tags or embeds many recordings (``core/executors``)."""
