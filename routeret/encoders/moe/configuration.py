"""What a mixture-of-experts encoder is made of, as transformers keeps it in ``config.json``."""

from collections.abc import Sequence
from typing import Any

from transformers import AutoConfig, PretrainedConfig

MODEL_TYPE = "routeret_moe"
"""The ``model_type`` in ``config.json``."""


class MoeConfig(PretrainedConfig):  # type: ignore[no-untyped-call] # of transformers
    """The base's configuration, the domains, and which layers know them.

    Attributes:
        base: configuration of the dense model that the domains share.
        domains: their names; the place of a name is the number of the domain.
        layers: numbers of the layers with one feed-forward part for every domain, ascending; the first layer is 0.
    """

    model_type = MODEL_TYPE

    def __init__(
        self,
        base: PretrainedConfig | dict[str, Any] | None = None,
        domains: Sequence[str] = (),
        layers: Sequence[int] = (),
        **kwargs: Any,  # noqa: ANN401 - transformers hands over whatever config.json holds
    ) -> None:
        """Make a configuration; without a base it describes no model, which is what transformers compares with."""
        super().__init__(**kwargs)
        self.base = AutoConfig.for_model(**base) if isinstance(base, dict) else base
        self.domains = list(domains)
        self.layers = list(layers)
        if self.base is not None:
            # Readers of the folder look for these two beside the model type.
            self.hidden_size = self.base.hidden_size
            self.max_position_embeddings = self.base.max_position_embeddings
