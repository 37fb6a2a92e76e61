"""Every error this library raises on purpose.

All share one root, and each is a built-in error too, so both ``except RouteretError`` and ``except ValueError`` work.
A message says what was found, what was expected and the next step, with the values.
"""


class RouteretError(Exception):
    """The root of all errors that routeret raises on purpose."""


class SpaceMismatchError(RouteretError, ValueError):
    """Vectors of one space met an index, an expert or a router of another."""


class CorpusError(RouteretError, ValueError):
    """A corpus, query or qrels file cannot be read as it is; the file and line are named."""


class DuplicateIdError(CorpusError):
    """One document id came twice; both places are named."""


class UnknownDocumentError(RouteretError, KeyError):
    """A document id is not in the index."""

    def __str__(self) -> str:
        """The message itself; ``KeyError`` would show it quoted."""
        return str(self.args[0])


class UnknownExpertError(RouteretError, KeyError):
    """An expert name is not in the pool; the message lists the names that are."""

    def __str__(self) -> str:
        """The message itself; ``KeyError`` would show it quoted."""
        return str(self.args[0])


class ModelNotFoundError(RouteretError, FileNotFoundError):
    """A model is neither a local folder, nor in the hub's cache, nor in an installed package."""


class ArtifactError(RouteretError, ValueError):
    """A saved folder is damaged, incomplete, of another kind or of another format."""


class IndexLockedError(RouteretError, RuntimeError):
    """Another process is writing to this index."""


class MissingExtraError(RouteretError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class InputError(RouteretError, ValueError):
    """An argument is outside what the call accepts."""


class ExpertNotHelpfulError(RouteretError, RuntimeError):
    """A trained expert does not beat the base on dev, so it was not written."""


class TrainingDivergedError(RouteretError, ArithmeticError):
    """A loss or a gradient is not a finite number; the batch is named, and what was good before it is kept."""


class DownloadError(RouteretError, OSError):
    """A file cannot be fetched, or is not what its publisher says it is; nothing was kept."""
