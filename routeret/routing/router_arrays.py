"""The arrays of a saved router: that they are those of its corpora and experts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeret.routing.calibration import N_FEATURES
from routeret.routing.pilots import STRENGTHS


def require_arrays(arrays: Mapping[str, NDArray[Any]], *, n_corpora: int, n_experts: int) -> None:
    """Do nothing if a router can decide with some arrays.

    Args:
        arrays: by name, as :meth:`routeret.routing.UtilityRouter.save` writes them.
        n_corpora: how many training corpora the router knows.
        n_experts: how many experts it weighs.

    Raises:
        KeyError: one is missing.
        ValueError: one has another shape, or is not finite somewhere.
    """
    n_exemplars, dim = arrays["exemplars"].shape
    table = (n_corpora, n_experts, len(STRENGTHS))
    shapes = {
        "coefficients": (n_corpora, dim),
        "intercepts": (n_corpora,),
        "exemplars": (n_exemplars, dim),
        "exemplar_starts": (n_corpora,),
        "floors": (n_corpora,),
        "ceilings": (n_corpora,),
        "gains": table,
        "gain_errors": table,
        "gaining_rates": table,
        "lexical_weights": (n_corpora,),
        "help_coefficients": (N_FEATURES,),
        "unknown_errors": (len(STRENGTHS),),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name!r} has shape {arrays[name].shape}, expected {shape}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name!r} is not finite somewhere")
