"""Tensors in parts: the file that the safetensors library reads, and writes."""

import torch
from safetensors.torch import load, save

from rewindnet.experiments.folder.tensors import _TYPES, file_parts

TENSORS = {
    "theta": torch.randn(3, 5),
    "cost": torch.arange(4),
    "none": torch.zeros(0, 2),
    "seconds": torch.tensor(1.5, dtype=torch.float64),
    "é": torch.tensor([True, False, True]),
    "half": torch.randn(7).bfloat16(),
}


def test_the_library_reads_what_is_written_in_parts():
    read = load(b"".join(file_parts(TENSORS, {"hash": "0a", "ü": "ß"})))
    assert set(read) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_a_file_of_one_tensor_is_that_of_the_library():
    for dtype in _TYPES:
        theta = {"theta": torch.ones(3, 5).to(dtype)}
        assert b"".join(file_parts(theta)) == save(theta)
