"""Embeddings: a vector for each photo, region or cell, in one Parquet file."""


class EmbeddingError(ValueError):
    """Embeddings that can't be made, or a file of embeddings that can't be used."""
