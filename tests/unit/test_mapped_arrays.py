"""Arrays of a safetensors file are mapped as they lie there, and only what NumPy knows."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch_file

from routeret.encoders.safetensors_file import map_arrays
from routeret.errors import ArtifactError


def test_they_are_those_that_were_written_and_lie_in_the_file(tmp_path):
    file = tmp_path / "arrays.safetensors"
    arrays = {
        "half": np.arange(6, dtype=np.float16).reshape(2, 3),
        "odd": np.arange(3, dtype=np.float16),
        "single": np.full((1, 4), 0.1, dtype=np.float32),
        "none": np.zeros((0, 3), dtype=np.float64),
    }
    save_file(arrays, file)
    found = map_arrays(file)
    assert set(found) == set(load_file(file))
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        assert not found[name].flags.writeable


def test_a_dtype_that_numpy_does_not_know_is_named(tmp_path):
    save_torch_file({"a": torch.zeros(2, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    with pytest.raises(ArtifactError, match=r"tensor 'a' has dtype BF16.*expected .*F16, F32, F64"):
        map_arrays(tmp_path / "a.safetensors")


def test_a_shape_that_the_bytes_do_not_fill_is_named(tmp_path):
    file = tmp_path / "a.safetensors"
    save_file({"a": np.zeros((2, 3), dtype=np.float32)}, file)
    file.write_bytes(file.read_bytes().replace(b'"shape":[2,3]', b'"shape":[3,3]'))
    with pytest.raises(ArtifactError, match=r"shape \(3, 3\) and 24 bytes"):
        map_arrays(file)
