"""Layers that meet the same value, which a graph in 8-bit numbers has as one, and the matrices that it is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from routeret.artifact import safetensors_of, write_file
from routeret.encoders.safetensors_file import map_arrays
from routeret.types import FloatArray


@dataclass(frozen=True, slots=True)
class JointLayer:
    """Layers that meet the same value.

    Attributes:
        places: of the layers, in the order of their columns.
        apart: rows of their matrices that stand above B of their adapters, float32, shape (n_apart, n_outputs of all).
    """

    places: tuple[int, ...]
    apart: FloatArray


def write_joint_layers(file: Path, joint: Sequence[JointLayer]) -> None:
    """Write a new file.

    Args:
        file: to write.
        joint: in the order of their first places.
    """
    write_file(file, safetensors_of({" ".join(map(str, one.places)): one.apart for one in joint}))


def read_joint_layers(file: Path) -> list[JointLayer]:
    """The layers that :func:`write_joint_layers` wrote, in their order.

    Raises:
        ArtifactError: the file is damaged.
    """
    layers = [JointLayer(tuple(map(int, name.split())), apart) for name, apart in map_arrays(file).items()]
    return sorted(layers, key=lambda one: one.places)


def joint_matrices(
    down: Sequence[FloatArray], up: Sequence[FloatArray], joint: Sequence[JointLayer]
) -> tuple[list[FloatArray], list[FloatArray]]:
    """A and B of every joint layer.

    Args:
        down: A of every layer, shape (n_inputs, n_ranks).
        up: B of every layer, shape (n_ranks, n_outputs), with the scale.
        joint: the layers that are one.

    Returns:
        A, shape (n_inputs, n_ranks of all), and B, shape (n_apart + n_ranks of all, n_outputs of all), where every
        layer's B stands below that of the layer before it and to the right.
    """
    a = [np.concatenate([down[place] for place in one.places], axis=1) for one in joint]
    b = [np.concatenate([one.apart, _diagonal([up[place] for place in one.places])]) for one in joint]
    return a, b


def _diagonal(blocks: Sequence[FloatArray]) -> FloatArray:
    ends = np.cumsum([(0, 0), *(one.shape for one in blocks)], axis=0)
    matrix: FloatArray = np.zeros(ends[-1], dtype=np.float32)
    for block, (top, left), (bottom, right) in zip(blocks, ends, ends[1:], strict=False):
        matrix[top:bottom, left:right] = block
    return matrix
