"""routeret: retrieval with routed domain-expert embedders over cached FAISS indexes.

The public names below are loaded when they are first used, so that importing the library stays fast.
"""

from typing import TYPE_CHECKING

from routeret.lazy_names import lazy_names

if TYPE_CHECKING:
    from routeret.corpus import Corpus as Corpus
    from routeret.errors import RouteretError as RouteretError
    from routeret.evaluation import EvaluationSettings as EvaluationSettings
    from routeret.evaluation import evaluate as evaluate
    from routeret.protocols import Expert as Expert
    from routeret.retriever import Retriever as Retriever
    from routeret.routing import PilotLibrary as PilotLibrary
    from routeret.routing import Router as Router
    from routeret.space import Space as Space
    from routeret.types import Document as Document
    from routeret.types import Hit as Hit
    from routeret.types import Hits as Hits
    from routeret.types import LabelledQuery as LabelledQuery
    from routeret.types import Routing as Routing

__version__ = "0.1.0"

_MODULE_BY_NAME = {
    "Corpus": "routeret.corpus",
    "Document": "routeret.types",
    "EvaluationSettings": "routeret.evaluation",
    "Expert": "routeret.protocols",
    "Hit": "routeret.types",
    "Hits": "routeret.types",
    "LabelledQuery": "routeret.types",
    "PilotLibrary": "routeret.routing",
    "Retriever": "routeret.retriever",
    "Router": "routeret.routing",
    "RouteretError": "routeret.errors",
    "Routing": "routeret.types",
    "Space": "routeret.space",
    "evaluate": "routeret.evaluation",
}

__all__ = [
    "Corpus",
    "Document",
    "EvaluationSettings",
    "Expert",
    "Hit",
    "Hits",
    "LabelledQuery",
    "PilotLibrary",
    "Retriever",
    "Router",
    "RouteretError",
    "Routing",
    "Space",
    "__version__",
    "evaluate",
]

__getattr__ = lazy_names(__name__, _MODULE_BY_NAME)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
