"""Loading sentence-transformers models from a folder."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routeret.encoders.devices import checked_device

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def load_model(folder: Path, *, device: str | None) -> "SentenceTransformer":
    """The model of a folder, in float32 and in evaluation mode.

    Args:
        folder: of the model.
        device: where it runs; None takes a GPU if there is one.

    Raises:
        InputError: this machine does not have the device.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    with without_bars():
        model = SentenceTransformer(
            str(folder),
            device=checked_device(device),
            local_files_only=True,
            model_kwargs={"dtype": torch.float32},
        )
    return model.eval()


def sharing_weights(model: "SentenceTransformer") -> "SentenceTransformer":
    """A copy whose modules may be replaced, with the very weights and the tokenizer of the model."""
    shared = [*model.parameters(), *model.buffers(), model.tokenizer]
    return copy.deepcopy(model, {id(one): one for one in shared})


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep transformers from drawing a progress bar over the weights in this block; other bars come back afterwards."""
    logging: Any = import_module("transformers.utils.logging")
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()
