"""A mixture-of-experts model as an encoder: queries of one domain, documents of all."""

import copy
import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routeret.encoders.content import model_hash
from routeret.encoders.moe.configuration import MODEL_TYPE
from routeret.encoders.moe.document_domains import FILE, DocumentDomains
from routeret.encoders.torch import Precision, TorchEncoder
from routeret.errors import ArtifactError, InputError
from routeret.types import Document, EncodedDocuments

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer


class MoeEncoder(TorchEncoder):
    """Vectors from a mixture-of-experts model, whose queries are written for one domain.

    A document is written for the domain that its words tell (see
    :class:`~routeret.encoders.moe.document_domains.DocumentDomains`), whatever the domain of the queries, so all
    domains have one space, and every domain a query tower of its own. A model that was not trained to tell the domains
    of documents writes them for the domain of the queries; then every domain has a space of its own too.

    The encoders that :meth:`in_domain` gives share one set of weights in memory, and so does whatever thread runs them.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        domain: str,
        device: str | None = None,
        max_tokens: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        batch_size: int | None = None,
        precision: Precision = "auto",
        download: bool = False,
    ) -> None:
        """Find the model and read its configuration.

        Args:
            model: what :func:`~routeret.encoders.moe.upcycle` wrote, perhaps trained since; a folder or a name.
            domain: one of the model's; the queries'.
            device: see :class:`~routeret.encoders.TorchEncoder`, as for all that follow.
            max_tokens: longer texts are cut.
            query_prompt: text put before every query.
            document_prompt: text put before every document.
            batch_size: texts in one pass.
            precision: arithmetic of the document tower's transformer.
            download: fetch a model that is not on this machine from the hub.

        Raises:
            ModelNotFoundError: the model is nowhere on this machine.
            InputError: it is no mixture of experts, does not have the domain, or another argument is outside what it
                offers.
            ArtifactError: the model's folder is damaged.
        """
        super().__init__(
            model,
            device=device,
            max_tokens=max_tokens,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            batch_size=batch_size,
            precision=precision,
            download=download,
        )
        architecture = self._folder.modules[0].config.get("architecture", {})
        if architecture.get("model_type") != MODEL_TYPE:
            raise InputError(
                f"{self.folder} is no mixture of experts: found architecture {architecture.get('model_type')!r}, "
                f"expected {MODEL_TYPE!r}; make one of it with routeret.encoders.moe.upcycle"
            )
        names = architecture.get("domains")
        if not isinstance(names, list) or not names:
            raise ArtifactError(f"{self.folder / 'config.json'} names no domains; restore it from its source")
        self._domains = tuple(str(name) for name in names)
        self._domain = domain
        self._numbers: tuple[int, ...] | None = (self._number(domain),)
        self._tells_domains = (self.folder / FILE).is_file()
        self._owner = self

    @property
    def domain(self) -> str:
        """The domain whose experts write the queries."""
        return self._domain

    @property
    def domains(self) -> tuple[str, ...]:
        """All domains of the model."""
        return self._domains

    @property
    def tells_domains(self) -> bool:
        """Whether the model tells the domains of documents, so that all its domains have one space."""
        return self._tells_domains

    def in_domain(self, domain: str) -> "MoeEncoder":
        """The encoder of another domain of this model, which shares its weights in memory.

        Raises:
            InputError: the model does not have the domain.
        """
        other = copy.copy(self)
        other._domain = domain
        other._numbers = (self._number(domain),)
        for made in ("_content", "space", "query_tower"):
            other.__dict__.pop(made, None)
        return other

    def for_documents(self) -> "MoeEncoder":
        """The encoder that writes every text as documents are written, for the domain that its words tell.

        It is this one where the model does not tell the domains of documents.
        """
        if not self.tells_domains:
            return self
        other = copy.copy(self)
        other._numbers = None
        return other

    def encode_documents(self, documents: Sequence[Document]) -> EncodedDocuments:
        """Vectors of the documents, float32, shape (n_documents, dim), in their order, and which were cut.

        Raises:
            InputError: something other than a list of documents came, or the device is not there.
            ArtifactError: what tells the domains of documents is damaged.
        """
        return TorchEncoder.encode_documents(self.for_documents(), documents)

    def on(self, device: str | None) -> "MoeEncoder":
        """The same encoder, not yet loaded, on a device; None lets it choose."""
        other = copy.copy(self)
        other.__dict__.update(super().on(device).__dict__)
        other._owner = other
        return other

    @cached_property
    def query_tower(self) -> str:
        """16 hexadecimal digits; changes with the query side's weights, tokenizer, token limit, prompt or domain."""
        space, content = self.space, _joined(self._owner._weights, self._domain)
        parts = [content, space.pooling, space.max_tokens, space.dim, space.unit_length, self._query_prompt]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @cached_property
    def _content(self) -> str:
        """The hash of the model joined by what chooses the domain of a document."""
        chooses = self._owner._document_domains.fingerprint if self.tells_domains else self._domain
        return _joined(self._owner._weights, chooses)

    @cached_property
    def _document_domains(self) -> DocumentDomains:
        """What tells the domains of documents; read once for all domains."""
        found = DocumentDomains.load(self.folder)
        if found.n_domains != len(self._domains):
            raise ArtifactError(
                f"{self.folder / FILE} tells {found.n_domains} domains apart, the model has {len(self._domains)}; "
                f"restore the model's folder from its source"
            )
        return found

    @cached_property
    def _weights(self) -> str:
        """The hash of the model; made once for all domains, since it reads all weights."""
        return model_hash(self._folder)

    def forward(
        self,
        model: "SentenceTransformer",
        texts: list[str],
        *,
        prompt: str,
        precision: Precision = "auto",
        domains: Sequence[str] | None = None,
    ) -> "torch.Tensor":
        """Vectors of one batch by a model of this encoder's make, with gradients where they are on.

        Args:
            model: what :meth:`fresh_model` gave, perhaps trained since.
            texts: a batch, computed at once.
            prompt: put before every text.
            precision: arithmetic of the transformer; everything after it is float32.
            domains: the domain of every text; None takes the encoder's for all.

        Returns:
            float32, shape (n_texts, dim), on the model's device; of length 1 where the space's vectors are.

        Raises:
            InputError: the model does not have a domain, or there is not one for every text.
        """
        if domains is None:
            return super().forward(model, texts, prompt=prompt, precision=precision)
        if len(domains) != len(texts):
            raise InputError(f"found {len(domains)} domains for {len(texts)} texts, expected one for every text")
        mixed = copy.copy(self)
        mixed._numbers = tuple(self._number(domain) for domain in domains)
        return TorchEncoder.forward(mixed, model, texts, prompt=prompt, precision=precision)

    def _features(self, model: "SentenceTransformer", texts: list[str], *, prompt: str) -> dict[str, Any]:
        """What the transformer reads, with the number of every text's domain."""
        import torch

        features = super()._features(model, texts, prompt=prompt)
        if self._numbers is None:
            features["domains"] = torch.from_numpy(self._owner._document_domains.numbers(texts))
        else:
            numbers = self._numbers * len(texts) if len(self._numbers) == 1 else self._numbers
            features["domains"] = torch.tensor(numbers)
        return features

    def _loaded(self) -> "SentenceTransformer":
        return TorchEncoder._loaded(self._owner)

    def _number(self, domain: str) -> int:
        if domain not in self._domains:
            raise InputError(f"{self.folder} has no domain {domain!r}; it has {', '.join(self._domains)}")
        return self._domains.index(domain)


def _joined(weights: str, chooses: str) -> str:
    """The hash of a model joined by what chooses the domain."""
    return hashlib.sha256(json.dumps([weights, chooses]).encode()).hexdigest()
