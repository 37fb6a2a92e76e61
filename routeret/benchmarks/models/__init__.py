"""A model as the libraries run it that others are measured beside."""
