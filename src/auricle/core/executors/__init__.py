"""Work on a corpus: a stateful worker mapped over the parts of a job, in this process, in a pool, or on a cluster."""
