"""Text to vectors with a sentence-transformers model, run by PyTorch."""

import copy
import hashlib
import json
import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from routeret.encoders.content import model_hash
from routeret.encoders.devices import checked_name
from routeret.encoders.inputs import checked_documents, checked_texts
from routeret.encoders.model_folder import read_model_folder
from routeret.encoders.model_loading import load_model, sharing_weights
from routeret.encoders.passes import passes_at_once, passes_of, side_by_side, tokens_per_pass
from routeret.encoders.probes import LEAST_COSINE, PROBES, cosines_of
from routeret.encoders.resolve import find_model
from routeret.encoders.tokenizing import CHARACTERS_PER_TOKEN, TEXTS_PER_CALL
from routeret.errors import InputError
from routeret.space import NO_TOKEN_LIMIT, Space
from routeret.types import Document, EncodedDocuments, FloatArray, IntArray

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

    from routeret.encoders.graph.query_graph import QueryGraph

_logger = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bfloat16"]


class TorchEncoder:
    """Vectors from a sentence-transformers model (or a plain transformers encoder, mean-pooled).

    Making one reads configuration files only. The content hash is computed when ``space`` or ``query_tower`` is first
    asked for, from the files; PyTorch and the weights are loaded at the first text to encode. Several threads may
    share one encoder.
    """

    def __init__(
        self,
        model: str | Path,
        *,
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
            model: a folder, or the name of a model (see :func:`~routeret.encoders.resolve.find_model`).
            device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"xpu"``; None takes CUDA if it is there.
            max_tokens: longer texts are cut; special tokens and prompt count; None takes the model's limit.
            query_prompt: text put before every query; None takes the one that the model names.
            document_prompt: text put before every document; None takes the one that the model names.
            batch_size: texts in one pass; None takes as many as have 1,024 tokens together on a processor, 32,768
                elsewhere.
            precision: arithmetic of the document tower's transformer; queries, pooling and normalisation are always
                float32. ``"auto"`` takes bfloat16, for weights too, where the hardware computes in it and some probes
                keep a cosine of 0.999 or more to float32, else float32.
            download: fetch a model that is not on this machine from the hub.

        Raises:
            ModelNotFoundError: the model is nowhere on this machine.
            InputError: an argument is outside what the model or this machine offers.
            ArtifactError: the model's folder is damaged.
        """
        if batch_size is not None and batch_size < 1:
            raise InputError(f"found batch_size {batch_size}, expected at least 1")
        if precision not in ("auto", "float32", "bfloat16"):
            raise InputError(f"found precision {precision!r}, expected auto, float32 or bfloat16")
        self._folder = read_model_folder(find_model(model, download=download))
        self._max_tokens = self._folder.max_tokens if max_tokens is None else max_tokens
        if not 3 <= self._max_tokens <= self._folder.token_ceiling:
            raise InputError(
                f"found max_tokens {self._max_tokens}, expected 3 to {self._folder.token_ceiling} for {self.folder}"
            )
        self._query_prompt = self._folder.query_prompt if query_prompt is None else query_prompt
        self._document_prompt = self._folder.document_prompt if document_prompt is None else document_prompt
        self._device = checked_name(device)
        self._batch_size = batch_size
        self._precision: Precision = precision
        self._model: SentenceTransformer | None = None
        self._document_models: dict[Space, tuple[SentenceTransformer, Precision]] = {}
        self._loading = threading.Lock()
        self._halving = threading.Lock()
        self._tokenizing = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where the model is."""
        return self._folder.path

    @property
    def max_tokens(self) -> int:
        """Longer texts are cut; special tokens and prompt count."""
        return self._max_tokens

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._folder.dim

    @property
    def device(self) -> str | None:
        """Where it was asked to run; None where it chooses by itself."""
        return self._device

    @property
    def precision(self) -> Precision:
        """Arithmetic of the document tower's transformer."""
        return self._precision

    @property
    def query_prompt(self) -> str:
        """Text put before every query."""
        return self._query_prompt

    @property
    def document_prompt(self) -> str:
        """Text put before every document."""
        return self._document_prompt

    @property
    def domain(self) -> str | None:
        """The domain of a mixture of experts that it writes for; None where the model has no domains."""
        return None

    @cached_property
    def _content(self) -> str:
        """64 hexadecimal digits of what makes document vectors; reads the weights' bytes once."""
        return model_hash(self._folder)

    @cached_property
    def space(self) -> Space:
        """The space that document and query vectors live in; reads the weights' bytes once."""
        return Space(
            model=self._content,
            pooling=self._folder.pooling,
            max_tokens=self._max_tokens,
            dim=self._folder.dim,
            document_prompt=self._document_prompt,
            unit_length=self._folder.unit_length,
            similarity=self._folder.similarity,
        )

    @cached_property
    def query_tower(self) -> str:
        """16 hexadecimal digits; changes with the query side's weights, tokenizer, token limit or prompt."""
        space = self.space
        parts = [space.model, space.pooling, space.max_tokens, space.dim, space.unit_length, self._query_prompt]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def encode_documents(self, documents: Sequence[Document]) -> EncodedDocuments:
        """Vectors of the documents, float32, shape (n_documents, dim), in their order, and which were cut.

        Raises:
            InputError: something other than a list of documents came, the device is not there, or bfloat16 was asked
                for by name and would write vectors of another space.
        """
        texts = self.document_texts(documents)
        if not texts:
            return EncodedDocuments(np.zeros((0, self.dim), dtype=np.float32), np.zeros(0, dtype=np.bool_), n_tokens=0)
        model, precision = self._document_model()
        vectors, lengths = self._encode(model, texts, prompt=self._document_prompt, precision=precision)
        return self._counted(model, vectors, lengths)

    def document_texts(self, documents: Sequence[Document]) -> list[str]:
        """What is read of some documents, without the prompt.

        Raises:
            InputError: something other than a list of documents came.
        """
        join = self.space.joined
        return [join(title=one.title, text=one.text) for one in checked_documents(documents)]

    def encode_document_tokens(self, documents: Sequence[Document]) -> tuple[EncodedDocuments, list[FloatArray]]:
        """What :meth:`encode_documents` gives, and the documents' token vectors, by the same pass of the model.

        Returns:
            The documents' vectors, and for every document float32, shape (n_tokens, dim), special tokens and prompt
            among them; their mean is the document's vector, up to its length.

        Raises:
            InputError: as for :meth:`encode_documents`, or the model does not pool by the mean.
        """
        import torch

        self._require_token_vectors()
        encoder = self.for_documents()
        texts = self.document_texts(documents)
        vectors: FloatArray = np.zeros((len(texts), self.dim), dtype=np.float32)
        found = [vectors[:0]] * len(texts)
        if not texts:
            return EncodedDocuments(vectors, np.zeros(0, dtype=np.bool_), n_tokens=0), found
        model, precision = encoder._document_model()
        heads, lengths = encoder._heads(model, texts, prompt=self._document_prompt)

        def compute(rows: IntArray) -> None:
            batch = [heads[row] for row in rows]
            with torch.inference_mode():
                features = encoder._transformed(model, batch, prompt=self._document_prompt, precision=precision)
                tokens, is_token = features["token_embeddings"], features["attention_mask"].bool()
                vectors[rows] = encoder.pooled(model, features).cpu().numpy()
            for row, one, kept in zip(rows, tokens.cpu().numpy(), is_token.cpu().numpy(), strict=True):
                found[row] = one[kept][:, : self.dim]

        encoder._each_pass(model, lengths, compute)
        return encoder._counted(model, vectors, lengths), found

    @property
    def query_graph(self) -> "QueryGraph | None":
        """What runs queries instead of PyTorch; None where PyTorch does."""
        return None

    def for_documents(self) -> "TorchEncoder":
        """What writes documents: the encoder itself, unless its queries are written in another way."""
        return self

    def encode_queries(self, texts: Sequence[str], *, model: "SentenceTransformer | None" = None) -> FloatArray:
        """Vectors of the queries, float32, shape (n_queries, dim), in their order.

        Args:
            texts: the queries.
            model: a changed copy of the encoder's model; None takes the model itself.

        Raises:
            InputError: something other than a list of strings came, or the device is not there.
        """
        queries = checked_texts(texts)
        graph = self.query_graph if model is None else None
        if graph is not None:
            return graph.vectors(queries)
        if not queries:
            return np.zeros((0, self.dim), dtype=np.float32)
        vectors, _ = self._encode(model or self._loaded(), queries, prompt=self._query_prompt, precision="float32")
        return vectors

    def encode_query_tokens(
        self, texts: Sequence[str], *, model: "SentenceTransformer | None" = None
    ) -> list[FloatArray]:
        """Token vectors of the queries, for late interaction; their mean is the query's vector, up to its length.

        Args:
            texts: the queries.
            model: what :meth:`fresh_model` gave, perhaps trained since; None takes the encoder's own.

        Returns:
            For every query float32, shape (n_tokens, dim), special tokens and prompt among them.

        Raises:
            InputError: something other than a list of strings came, or the model does not pool by the mean.
        """
        import torch

        queries = checked_texts(texts)
        asked = self._loaded() if model is None else model
        found: list[FloatArray] = [np.zeros((0, self.dim), dtype=np.float32)] * len(queries)

        def compute(rows: IntArray) -> None:
            batch = [heads[row] for row in rows]
            with torch.inference_mode():
                tokens, is_token = self.forward_tokens(asked, batch, prompt=self._query_prompt, precision="float32")
            for row, vectors, kept in zip(rows, tokens.cpu().numpy(), is_token.cpu().numpy(), strict=True):
                found[row] = vectors[kept]

        heads, lengths = self._heads(asked, queries, prompt=self._query_prompt)
        self._each_pass(asked, lengths, compute)
        return found

    def _encode(
        self, model: "SentenceTransformer", texts: list[str], *, prompt: str, precision: Precision
    ) -> tuple[FloatArray, IntArray]:
        """Vectors of one or more texts, and their lengths as :meth:`_heads` gives them."""
        import torch

        vectors: FloatArray = np.zeros((len(texts), self._folder.dim), dtype=np.float32)
        heads, lengths = self._heads(model, texts, prompt=prompt)

        def compute(rows: IntArray) -> None:
            batch = [heads[row] for row in rows]
            with torch.inference_mode():
                vectors[rows] = self.forward(model, batch, prompt=prompt, precision=precision).cpu().numpy()

        self._each_pass(model, lengths, compute)
        return vectors, lengths

    def _counted(self, model: "SentenceTransformer", vectors: FloatArray, lengths: IntArray) -> EncodedDocuments:
        """Vectors with what the lengths of :meth:`_heads` tell of their texts."""
        n_tokens = int(np.minimum(lengths, self._max_tokens).sum()) if _counts_tokens(model) else None
        return EncodedDocuments(vectors, lengths > self._max_tokens, n_tokens)

    def _each_pass(self, model: "SentenceTransformer", lengths: IntArray, compute: Callable[[IntArray], None]) -> None:
        """Compute the passes that texts of these lengths need."""
        most_tokens = tokens_per_pass(model.device.type)
        counted = np.minimum(lengths, self._max_tokens)
        if self._batch_size is None:
            passes = passes_of(counted, most_tokens=most_tokens)
        else:
            passes = passes_of(counted, most_tokens=NO_TOKEN_LIMIT, most_rows=self._batch_size)
        side_by_side(compute, passes, threads=passes_at_once(model.device.type))

    @property
    def halves_documents(self) -> bool:
        """Whether documents are written in bfloat16; loads the model.

        Raises:
            InputError: bfloat16 was asked for by name, and would write vectors of another space.
        """
        model, precision = self._document_model()
        return model is not self._loaded() or precision != "float32"

    def _document_model(self) -> tuple["SentenceTransformer", Precision]:
        """The model that writes documents, and the arithmetic that it is asked for.

        Raises:
            InputError: bfloat16 was asked for by name, and would write vectors of another space.
        """
        import torch

        model = self._loaded()
        is_exact = _arithmetic(self._precision, model.device) == torch.float32
        if is_exact or not hasattr(model[0], "auto_model"):
            return model, "float32"
        with self._halving:
            if self.space not in self._document_models:
                self._document_models[self.space] = self._halved_in_space(model)
            return self._document_models[self.space]

    def _halved_in_space(self, model: "SentenceTransformer") -> tuple["SentenceTransformer", Precision]:
        """What writes documents in bfloat16; the model itself, in float32, where they would be of another space.

        Raises:
            InputError: they would be, and bfloat16 was asked for by name.
        """
        halved = self._halved(model)
        writer = self.for_documents()
        rounded, exact = (
            writer._encode(one, list(PROBES), prompt=self._document_prompt, precision=precision)[0]
            for one, precision in (halved, (model, "float32"))
        )
        least = float(cosines_of(rounded, exact).min())
        # Vectors that are not finite have a cosine that compares with nothing.
        if least >= LEAST_COSINE["bfloat16"]:
            return halved
        found = (
            f"in bfloat16 {self.folder} writes documents of a cosine of {least:.5f} to those in float32, expected at "
            f"least {LEAST_COSINE['bfloat16']}"
        )
        if self._precision == "bfloat16":
            raise InputError(f"{found}; use precision='auto' or 'float32'")
        _logger.warning("%s; they are written in float32", found)
        return model, "float32"

    def _halved(self, model: "SentenceTransformer") -> tuple["SentenceTransformer", Precision]:
        """A model that computes in bfloat16, and the arithmetic that it is asked for to do so."""
        import torch

        if self.domain is not None:
            return model, "bfloat16"
        # Weights that are rounded once need not be rounded at every pass.
        halved = copy.deepcopy(model, {id(model.tokenizer): model.tokenizer})
        halved[0].auto_model.to(torch.bfloat16)
        return halved, "float32"

    def _heads(self, model: "SentenceTransformer", texts: list[str], *, prompt: str) -> tuple[list[str], IntArray]:
        """The part of every text that decides its tokens, and its length in tokens, counted to one above the limit.

        A tokenizer reads a text to its end before it cuts, so a text of many megabytes would take gigabytes: only
        its head goes in. Should the head hold fewer tokens than the limit, the whole text is taken after all. Where
        :func:`_counts_tokens` says no, a length is in characters.
        """
        if not _counts_tokens(model):
            return texts, np.array([len(text) for text in texts], dtype=np.int64)
        n_characters = self._max_tokens * CHARACTERS_PER_TOKEN
        heads = [text[:n_characters] for text in texts]
        lengths = self._token_counts(model, [prompt + head for head in heads])
        for row in np.flatnonzero(lengths <= self._max_tokens):
            if len(heads[row]) < len(texts[row]):
                heads[row] = texts[row]
                lengths[row] = self._token_counts(model, [prompt + texts[row]])[0]
        return heads, lengths

    def _token_counts(self, model: "SentenceTransformer", texts: list[str]) -> IntArray:
        counts: list[int] = []
        for start in range(0, len(texts), TEXTS_PER_CALL):
            chunk = texts[start : start + TEXTS_PER_CALL]
            # One fast tokenizer used by two threads at once raises "Already borrowed".
            with self._tokenizing:
                tokens = model.tokenizer(chunk, truncation=True, max_length=self._max_tokens + 1)["input_ids"]
            counts.extend(len(ids) for ids in tokens)
        return np.array(counts, dtype=np.int64)

    def forward(
        self, model: "SentenceTransformer", texts: list[str], *, prompt: str, precision: Precision = "auto"
    ) -> "torch.Tensor":
        """Vectors of one batch by a model of this encoder's make, with gradients where they are on.

        Args:
            model: what :meth:`fresh_model` gave, perhaps trained since.
            texts: a batch, computed at once.
            prompt: put before every text.
            precision: arithmetic of the transformer; everything after it is float32.

        Returns:
            float32, shape (n_texts, dim), on the model's device; of length 1 where the space's vectors are.
        """
        return self.pooled(model, self._transformed(model, texts, prompt=prompt, precision=precision))

    def pooled(self, model: "SentenceTransformer", features: dict[str, Any]) -> "torch.Tensor":
        """The vectors of a batch from what the transformer made of it, which stays as it is."""
        import torch

        for module in list(model)[1:]:
            features = module(dict(features))
        embeddings: torch.Tensor = features["sentence_embedding"][:, : self._folder.dim].float()
        return torch.nn.functional.normalize(embeddings, dim=1) if self._folder.unit_length else embeddings

    def forward_tokens(
        self, model: "SentenceTransformer", texts: list[str], *, prompt: str, precision: Precision = "auto"
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Token vectors of one batch, whose mean over the tokens of a text is its vector before it gets length 1.

        Args:
            model: what :meth:`fresh_model` gave, perhaps trained since.
            texts: a batch, computed at once.
            prompt: put before every text.
            precision: arithmetic of the transformer.

        Returns:
            Token vectors, float32, shape (n_texts, most tokens, dim), and bool, shape (n_texts, most tokens): which
            of them are tokens and not padding; both on the model's device.

        Raises:
            InputError: the model does not pool by the mean, or changes the pooled vector.
        """
        self._require_token_vectors()
        features = self._transformed(model, texts, prompt=prompt, precision=precision)
        return features["token_embeddings"][:, :, : self.dim], features["attention_mask"].bool()

    def _transformed(
        self, model: "SentenceTransformer", texts: list[str], *, prompt: str, precision: Precision
    ) -> dict[str, Any]:
        """What the transformer makes of a batch, before pooling; in float32."""
        import torch

        dtype = _arithmetic(precision, model.device)
        features = self._features(model, texts, prompt=prompt)
        features = {name: _on(value, model.device) for name, value in features.items()}
        with torch.autocast(model.device.type, dtype=dtype, enabled=dtype != torch.float32):
            features = model[0](features)
        return {name: _as_float32(value) for name, value in features.items()}

    @property
    def has_token_vectors(self) -> bool:
        """Whether the mean of a text's token vectors is its vector, up to its length."""
        kinds = {module.kind for module in self._folder.modules[1:]}
        return self._folder.pooling == "mean" and {"Pooling"} <= kinds <= {"Pooling", "Normalize"}

    def _require_token_vectors(self) -> None:
        if not self.has_token_vectors:
            raise InputError(
                f"{self.folder} pools by {self._folder.pooling}; token vectors are comparable with pooled ones only "
                f"after mean pooling with nothing but normalisation behind it"
            )

    def on(self, device: str | None) -> "TorchEncoder":
        """The same encoder, not yet loaded, on a device; None lets it choose."""
        other = copy.copy(self)
        other._device, other._model, other._document_models = checked_name(device), None, {}
        other._loading, other._halving, other._tokenizing = threading.Lock(), threading.Lock(), threading.Lock()
        return other

    def copy_model(self, folder: Path) -> None:
        """Copy the files of the model into a new folder.

        Args:
            folder: must not exist.
        """
        shutil.copytree(self.folder, folder, copy_function=shutil.copyfile)

    def fresh_model(self, *, max_tokens: int | None = None) -> "SentenceTransformer":
        """The model with weights of its own, to be changed; on this encoder's device.

        Args:
            max_tokens: longer texts are cut; None takes the encoder's limit.
        """
        model = self._load()
        limit = self._max_tokens if max_tokens is None else min(max_tokens, self._max_tokens)
        if limit < NO_TOKEN_LIMIT:
            model.max_seq_length = limit
        return model

    def model_sharing_weights(self) -> "SentenceTransformer":
        """A copy of the model whose modules may be replaced, with the very weights and the tokenizer of this one."""
        return sharing_weights(self._loaded())

    def document_model_sharing_weights(self) -> "SentenceTransformer":
        """The same of the model that writes documents, whose weights are bfloat16 where the encoder computes in it."""
        model, _ = self._document_model()
        return sharing_weights(model)

    def _features(self, model: "SentenceTransformer", texts: list[str], *, prompt: str) -> dict[str, Any]:
        """What the transformer reads for a batch of texts."""
        with self._tokenizing:
            features: dict[str, Any] = model.preprocess(texts, prompt=prompt or None)
        return features

    def _loaded(self) -> "SentenceTransformer":
        with self._loading:
            if self._model is None:
                self._model = self.fresh_model()
            return self._model

    def _load(self) -> "SentenceTransformer":
        """The model with its weights, on its device."""
        return load_model(self.folder, device=self._device)


def _counts_tokens(model: "SentenceTransformer") -> bool:
    """Whether texts are cut by their number of tokens; not by the tokenizer of a static embedding, without a limit."""
    return hasattr(model.tokenizer, "pad")


def _arithmetic(precision: Precision, device: "torch.device") -> "torch.dtype":
    import torch

    if precision == "auto":
        return torch.bfloat16 if _computes_in_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _computes_in_bfloat16(device: "torch.device") -> bool:
    """Whether the hardware has instructions for it; without them bfloat16 is slower than float32."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older versions of PyTorch do not tell.
    known = device.type == "cpu" and hasattr(torch.cpu, "get_capabilities")
    capabilities = dict(torch.cpu.get_capabilities()) if known else {}
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _on(value: Any, device: "torch.device") -> Any:  # noqa: ANN401 - features hold tensors and plain values
    return value.to(device) if hasattr(value, "to") else value


def _as_float32(value: Any) -> Any:  # noqa: ANN401 - features hold tensors and plain values
    return value.float() if hasattr(value, "is_floating_point") and value.is_floating_point() else value
