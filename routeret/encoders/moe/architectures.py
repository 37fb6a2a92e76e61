"""Where the architectures keep their layers, and the feed-forward part of a layer."""

from dataclasses import dataclass

from routeret.errors import InputError


@dataclass(frozen=True, slots=True)
class Architecture:
    """Where to look in a model.

    Attributes:
        layers: path from the model to its list of layers.
        feed_forward: paths from a layer to the linear maps of its feed-forward part.
    """

    layers: str
    feed_forward: tuple[str, ...]


_LIKE_BERT = Architecture("encoder.layer", ("intermediate.dense", "output.dense"))

ARCHITECTURES = {
    "bert": _LIKE_BERT,
    "camembert": _LIKE_BERT,
    "deberta-v2": _LIKE_BERT,
    "distilbert": Architecture("transformer.layer", ("ffn.lin1", "ffn.lin2")),
    "electra": _LIKE_BERT,
    "modernbert": Architecture("layers", ("mlp.Wi", "mlp.Wo")),
    "mpnet": _LIKE_BERT,
    "nomic_bert": Architecture("layers", ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")),
    "roberta": _LIKE_BERT,
    "xlm-roberta": _LIKE_BERT,
}
"""By ``model_type``."""


def architecture_of(model_type: str) -> Architecture:
    """Give the place of the feed-forward parts in a model.

    Args:
        model_type: as ``config.json`` states it.

    Raises:
        InputError: the architecture is none of those known.
    """
    if model_type not in ARCHITECTURES:
        raise InputError(
            f"found a base of architecture {model_type!r}, expected one of {', '.join(ARCHITECTURES)}; "
            "choose another base model"
        )
    return ARCHITECTURES[model_type]
