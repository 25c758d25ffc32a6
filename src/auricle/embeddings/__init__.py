"""What is made of the embedding store (``data/stores/embeddings.py``): the cache of evaluations, and arrays."""
