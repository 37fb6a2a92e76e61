"""What the command line does with whole corpora and exports: into an index, out of it, and all or nothing."""

from routeret.building.existing import add_corpora, sync_corpora, upsert_corpora
from routeret.building.new import build_index, import_index
from routeret.building.removing import DeleteReport, delete_documents, read_ids
from routeret.building.report import BuildReport

__all__ = [
    "BuildReport",
    "DeleteReport",
    "add_corpora",
    "build_index",
    "delete_documents",
    "import_index",
    "read_ids",
    "sync_corpora",
    "upsert_corpora",
]
