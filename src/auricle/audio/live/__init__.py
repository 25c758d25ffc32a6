"""Sound that comes while it happens: raw samples of a pipe, a file played as if live, a network stream, a microphone.

Each is an iterator of ``Chunk``; ``Reader`` reads one ahead in a thread.
"""
