"""What a library has to know of a model to write the same vectors on the same device."""

from dataclasses import dataclass

from routeret.encoders import TorchEncoder
from routeret.encoders.devices import runs_on_processor


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model in a folder.

    Attributes:
        model: the folder.
        dim: length of a vector.
        max_tokens: longer texts are cut.
        pooling: how token vectors become one.
        unit_length: whether vectors are brought to length 1.
        query_prompt: text put before every query.
        document_prompt: text put before every document.
        device: where it runs.
    """

    model: str
    dim: int
    max_tokens: int
    pooling: str
    unit_length: bool
    query_prompt: str = ""
    document_prompt: str = ""
    device: str = "cpu"

    @property
    def on_processor(self) -> bool:
        """Whether it runs on the processor."""
        return runs_on_processor(self.device)

    @classmethod
    def of(cls, encoder: TorchEncoder) -> "ModelFacts":
        """The facts of an encoder's model, which runs where the encoder does; reads the weights' bytes once."""
        return cls(
            model=str(encoder.folder),
            dim=encoder.dim,
            max_tokens=encoder.max_tokens,
            pooling=encoder.space.pooling,
            unit_length=encoder.space.unit_length,
            query_prompt=encoder.query_prompt,
            document_prompt=encoder.document_prompt,
            device=encoder.device or "cpu",
        )
