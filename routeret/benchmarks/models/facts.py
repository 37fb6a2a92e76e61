"""What a library has to know of a model to write the same vectors."""

from dataclasses import dataclass

from routeret.encoders import TorchEncoder


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
    """

    model: str
    dim: int
    max_tokens: int
    pooling: str
    unit_length: bool
    query_prompt: str = ""
    document_prompt: str = ""

    @classmethod
    def of(cls, encoder: TorchEncoder) -> "ModelFacts":
        """The facts of an encoder's model; reads the weights' bytes once."""
        return cls(
            model=str(encoder.folder),
            dim=encoder.dim,
            max_tokens=encoder.max_tokens,
            pooling=encoder.space.pooling,
            unit_length=encoder.space.unit_length,
            query_prompt=encoder.query_prompt,
            document_prompt=encoder.document_prompt,
        )
