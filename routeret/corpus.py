"""Documents as they come: from BEIR folders, JSON lines, CSV, text files or memory, each with its place."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from routeret.errors import CorpusError, DuplicateIdError, InputError
from routeret.lines import beir_file, read_id, read_lines, read_objects, read_rows
from routeret.types import Document

ACCEPTED = (
    "a BEIR folder (corpus.jsonl or corpus.jsonl.gz inside), JSON lines (.jsonl, .jsonl.gz), "
    "CSV with named columns (.csv, .csv.gz), or a folder of .txt and .md files"
)

_JSON_LINES = (".jsonl", ".jsonl.gz")
_CSV = (".csv", ".csv.gz")
_TEXT = (".txt", ".md")
_HEADING = re.compile(r"#{1,6}\s+(.*\S)")
_FENCE = re.compile(r"\s*(```|~~~)")

Source = Callable[[], Iterator[tuple[Document, str]]]


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a JSON object or a CSV row make a document; every other field is metadata.

    Attributes:
        id: the id's field; ``None`` takes ``_id``, or ``id`` where there is no ``_id``.
        title: the title's field; it may be absent.
        text: the text's field; it may be absent where there is a title.
    """

    id: str | None = None
    title: str = "title"
    text: str = "text"


class Corpus:
    """Documents in a fixed order; reading it again reads its source again, so it never holds them all."""

    def __init__(self, name: str, source: Source, *, prefix: str = "") -> None:
        """Keep where the documents come from; the class methods are the usual way in.

        Args:
            name: what the corpus is called in messages and in prefixed ids.
            source: gives a new iterator over documents and the places they stand at.
            prefix: put before every id.
        """
        self._name = name
        self._source = source
        self._prefix = prefix

    @property
    def name(self) -> str:
        """The name of the folder or file that it comes from."""
        return self._name

    @classmethod
    def of(cls, source: "Corpus | Path | str | Iterable[Document | Mapping[str, Any]]") -> "Corpus":
        """The corpus that a value stands for: a corpus itself, a path, or documents.

        Raises:
            CorpusError: the path is missing or of an unknown kind.
        """
        if isinstance(source, Corpus):
            return source
        if isinstance(source, str | Path):
            return cls.from_path(source)
        return cls.from_documents(source)

    @classmethod
    def from_path(
        cls,
        path: Path | str,
        *,
        name: str | None = None,
        id: str | None = None,
        title: str = "title",
        text: str = "text",
    ) -> "Corpus":
        """The documents of a folder or file; the kind is told by the name.

        Args:
            path: a BEIR folder, JSON lines, CSV, or a folder of text and Markdown files. There, an id is the path
                inside the folder, and a title is the first Markdown heading or the file's name; hidden files and
                files of other kinds are not documents.
            name: the corpus's name; by default the folder's, or the file's without its ending.
            id: the field or column of the id; by default ``_id``, or ``id``.
            title: the field or column of the title.
            text: the field or column of the text.

        Raises:
            CorpusError: the path is missing or of an unknown kind. What is wrong inside shows while reading.
        """
        path = Path(path)
        if not path.exists():
            raise CorpusError(f"{path} does not exist; give {ACCEPTED}")
        fields = Fields(id=id, title=title, text=text)
        name = name if name is not None else _name_of(path)
        if path.is_dir():
            file = beir_file(path, "corpus")
            return cls(name, (lambda: _read_json_lines(file, fields)) if file else (lambda: _read_texts(path)))
        if path.name.endswith(_JSON_LINES):
            return cls(name, lambda: _read_json_lines(path, fields))
        if path.name.endswith(_CSV):
            return cls(name, lambda: _read_csv(path, fields))
        raise CorpusError(f"{path} is of an unknown kind; give {ACCEPTED}")

    @classmethod
    def from_documents(cls, documents: Iterable[Document | Mapping[str, Any]], *, name: str = "documents") -> "Corpus":
        """The given documents; an iterator can be read once only.

        Args:
            documents: documents, or mappings with ``_id`` or ``id``, ``title``, ``text`` and metadata.
            name: the corpus's name.

        Raises:
            InputError: a single text, mapping or document was given.
        """
        if isinstance(documents, str | bytes | Mapping | Document) or not isinstance(documents, Iterable):
            raise InputError(f"documents are {type(documents).__name__}, expected an iterable of documents or mappings")
        used = [False]

        def read() -> Iterator[tuple[Document, str]]:
            if iter(documents) is documents and used[0]:
                raise InputError(f"{name} was read already and is an iterator; give a list to read it twice")
            used[0] = True
            for number, item in enumerate(documents):
                place = f"{name}[{number}]"
                yield (_checked(item, place) if isinstance(item, Document) else _document(item, Fields(), place)), place

        return cls(name, read)

    def with_prefix(self) -> "Corpus":
        """The same documents with ids ``<name>/<id>``."""
        return Corpus(self._name, self._source, prefix=f"{self._name}/")

    def located(self) -> Iterator[tuple[Document, str]]:
        """Every document with its place, for example ``docs.jsonl.gz:17``.

        Raises:
            CorpusError: the corpus is empty, or something in it cannot be read; the file and line are named.
        """
        empty = True
        for document, place in self._source():
            empty = False
            yield (replace(document, id=self._prefix + document.id) if self._prefix else document), place
        if empty:
            raise CorpusError(f"corpus {self._name!r} is empty; it must hold at least one document")

    def __iter__(self) -> Iterator[Document]:
        """The documents; raises what :meth:`located` raises."""
        return (document for document, _ in self.located())

    def __repr__(self) -> str:
        """The corpus's name."""
        return f"Corpus({self._name!r})"


def scan(corpora: Sequence[Corpus]) -> int:
    """How many documents several corpora hold together, after reading all of them once.

    Args:
        corpora: what will stand in one index.

    Raises:
        DuplicateIdError: an id comes twice; both places are named.
        CorpusError: a corpus is empty, or something in it cannot be read.
    """
    place_by_id: dict[str, tuple[Corpus, str]] = {}
    for corpus in corpora:
        for document, place in corpus.located():
            if document.id in place_by_id:
                first, first_place = place_by_id[document.id]
                raise duplicate(document.id, first=first_place, second=place, corpora=(first, corpus))
            place_by_id[document.id] = (corpus, place)
    return len(place_by_id)


def duplicate(
    document_id: str, *, first: str, second: str, corpora: tuple[Corpus, Corpus] | None = None
) -> DuplicateIdError:
    """The error for an id that comes twice.

    Args:
        document_id: the id.
        first: the place where it stands first.
        second: the place where it comes again.
        corpora: the corpora of the two places, where they are known.
    """
    found = f"document id {document_id!r} comes twice: at {first} and at {second}"
    if corpora is None or corpora[0] is corpora[1]:
        return DuplicateIdError(f"{found}; remove one of the two, or give it another id")
    if corpora[0].name == corpora[1].name:
        return DuplicateIdError(f"{found}; both corpora are called {corpora[0].name!r}: give one another name")
    return DuplicateIdError(f"{found}; prefix ids with their corpus: --prefix-ids, or corpus.with_prefix() in Python")


def _name_of(path: Path) -> str:
    path = path.resolve()
    if path.is_dir():
        return path.name
    for suffix in (*_JSON_LINES, *_CSV):
        stem = path.name.removesuffix(suffix)
        if stem != path.name:
            # A BEIR file is called by its set, or all of them would be called "corpus".
            return path.parent.name if stem == "corpus" else stem
    return path.stem


def _read_json_lines(path: Path, fields: Fields) -> Iterator[tuple[Document, str]]:
    for values, place in read_objects(path):
        yield _document(values, fields, place), place


def _read_csv(path: Path, fields: Fields) -> Iterator[tuple[Document, str]]:
    for values, place in read_rows(path):
        yield _document(values, fields, place), place


def _read_texts(folder: Path) -> Iterator[tuple[Document, str]]:
    paths = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.suffix.lower() in _TEXT}
    names = sorted(name for name, file in paths.items() if file.is_file() and not f"/{name}".count("/."))
    if not names:
        raise CorpusError(f"{folder} holds neither a corpus.jsonl nor .txt or .md files; give {ACCEPTED}")
    for name in names:
        text = "\n".join(line for line, _ in read_lines(paths[name])).strip()
        if not text:
            raise CorpusError(f"{paths[name]} is empty; remove it, or write some text into it")
        heading = _first_heading(text) if paths[name].suffix.lower() == ".md" else None
        document = Document(id=name, text=text, title=heading or paths[name].stem)
        yield _checked(document, str(paths[name])), str(paths[name])


def _first_heading(text: str) -> str | None:
    in_code = False
    for line in text.splitlines():
        if _FENCE.match(line):
            in_code = not in_code
        heading = None if in_code else _HEADING.match(line)
        if heading:
            return heading[1].rstrip("#").rstrip() or None
    return None


def _document(values: Any, fields: Fields, place: str) -> Document:  # noqa: ANN401 - whatever the user's iterable holds
    if not isinstance(values, Mapping):
        raise CorpusError(
            f"{place} is a {type(values).__name__}, expected a document or a mapping with 'id' and 'text'"
        )
    id_field, document_id = read_id(values, place, field=fields.id)
    parts: dict[str, str] = {}
    for field in (fields.title, fields.text):
        part = values.get(field)
        if not isinstance(part, str | None):
            found = type(part).__name__
            raise CorpusError(f"{place} has a {field!r} of kind {found}, expected a string (document {document_id!r})")
        parts[field] = part or ""
    nested = values.get("metadata")
    metadata = dict(nested) if isinstance(nested, Mapping) else {}
    own = {id_field, fields.title, fields.text} | ({"metadata"} if isinstance(nested, Mapping) else set())
    for field, value in values.items():
        if field in own:
            continue
        if field in metadata:
            raise CorpusError(f"{place} has {field!r} twice, beside 'metadata' and inside it; keep one of the two")
        metadata[field] = value
    return _checked(
        Document(id=document_id, title=parts[fields.title], text=parts[fields.text], metadata=metadata), place
    )


def _checked(document: Document, place: str) -> Document:
    read_id({"id": document.id}, place)
    if not document.title.strip() and not document.text.strip():
        raise CorpusError(f"{place} has no text (document {document.id!r}): its title and text are blank; remove it")
    try:
        f"{document.id}{document.title}{document.text}".encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"{place} has half a surrogate pair, which is not text; repair the document") from error
    return document
