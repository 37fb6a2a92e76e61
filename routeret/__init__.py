"""routeret: retrieval with routed domain-expert embedders over cached FAISS indexes."""

__version__ = "0.1.0"
