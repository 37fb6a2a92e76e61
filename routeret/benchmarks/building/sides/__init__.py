"""The ways to write vectors of documents."""
