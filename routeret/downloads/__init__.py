"""Public data sets in BEIR form: where they are, what their files must be, and how they are fetched when asked for."""

from routeret.downloads.fetching import fetch, fetch_missing
from routeret.downloads.public_sets import PublicSet, public_sets

__all__ = ["PublicSet", "fetch", "fetch_missing", "public_sets"]
