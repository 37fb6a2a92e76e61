"""This library's encoders, and its build."""

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routeret.benchmarks.building.material import BuildMaterial
from routeret.benchmarks.building.parts import PARTS, REST, places_of
from routeret.benchmarks.building.sides.side import EncodingSide
from routeret.benchmarks.watching import Watch, watched
from routeret.errors import InputError
from routeret.types import FloatArray

if TYPE_CHECKING:
    from routeret.encoders import TorchEncoder
    from routeret.encoders.torch import Precision


class EncoderSide(EncodingSide):
    """Documents into vectors by an encoder, and into an index by a retriever without experts."""

    def open(self) -> None:
        """Read the documents and load the model."""
        self._documents = list(self.material.corpus)
        self._encoder = self.encoder()
        self._encoder.encode_documents(self._documents[:1])

    @abstractmethod
    def encoder(self) -> "TorchEncoder":
        """The encoder, made anew."""

    def encode(self, start: int, end: int) -> FloatArray:
        """Vectors of a block."""
        return self._encoder.encode_documents(self._documents[start:end]).vectors

    def build(self, folder: Path) -> dict[str, Any]:
        """A retriever of the base alone with texts, vectors and full text."""
        from routeret.retriever import Retriever

        watch = Watch(PARTS)
        with (
            watched(watch, places_of(self._encoder)),
            watch.part(REST),
            Retriever.create(folder, base=self._encoder, device=self.material.facts.device) as retriever,
        ):
            report = retriever.add(self.material.corpus)
        return {"ms": watch.ms_by_part, "embedded": report.spans_embedded}


class TorchSide(EncoderSide):
    """:class:`~routeret.encoders.TorchEncoder`."""

    packages = ("routeret", "torch", "faiss-cpu")

    def __init__(self, material: BuildMaterial, *, precision: "Precision") -> None:
        """Keep what it is measured on.

        Args:
            material: what all sides are measured on.
            precision: arithmetic of the transformer.
        """
        super().__init__(material)
        self._precision: Precision = precision

    def encoder(self) -> "TorchEncoder":
        """The encoder on the model's device."""
        from routeret.encoders import TorchEncoder

        facts = self.material.facts
        return TorchEncoder(facts.model, device=facts.device, precision=self._precision)

    def describe(self) -> dict[str, Any]:
        """The versions, and the arithmetic of documents."""
        return {**super().describe(), "precision": "bfloat16" if self._encoder.halves_documents else "float32"}


class OpenvinoSide(EncoderSide):
    """:class:`~routeret.encoders.OnnxEncoder`, run by OpenVINO."""

    packages = ("routeret", "openvino", "faiss-cpu")

    def encoder(self) -> "TorchEncoder":
        """The encoder, once its graph has been exported.

        Raises:
            InputError: the model cannot be exported here.
        """
        from routeret.encoders import OnnxEncoder

        encoder = OnnxEncoder(self.material.facts.model, runtime="openvino")
        if not encoder.prepare():
            raise InputError("no graph can be exported here: see routeret warm --help")
        return encoder
