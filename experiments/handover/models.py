"""Hashes of released models, and models held against them.

The hash of one node's model is the sha256 of its parameters in their order, each in the IEEE format that `dtype` names,
little-endian. The hash of all models is that of all nodes' parameters one after the other, from node 0 on; it stands in
record.json of the run, too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from rewindnet.arrays import sha256_of
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.findings import Unchecked
from rewindnet.certificates.handover.document import Document
from rewindnet.certificates.handover.names import client_in
from rewindnet.experiments.handover.files import HandoverError


def hashes(
    shape: tuple[int, int], dtype: str, recorded: str | None, theta: NDArray[Any] | None, departed: Sequence[int]
) -> Mapping[str, Any]:
    """Return the member `models` of a certificate's file.

    Args:
        shape: (N, d).
        dtype: the type of the parameters.
        recorded: the sha256 of all models; None where it was not recorded.
        theta: [N, d], the released models; None where they were not kept.
        departed: the nodes that have left, which release nothing.

    Raises:
        HandoverError: if the models are not those of the recorded hash.
    """
    each: list[str | None] | None = None
    if theta is not None:
        if theta.shape != shape or str(theta.dtype) != dtype or sha256_of(theta) != recorded:
            raise HandoverError("the stored models are not those that the run released: their hash differs")
        each = [None if node in departed else sha256_of(row) for node, row in enumerate(theta)]
    return {
        "nodes": shape[0],
        "parameters": shape[1],
        "dtype": dtype,
        "sha256": recorded,
        "each_sha256": each,
    }


def check_models(document: Document, file: Path) -> str:
    """Check that the models in a file are those of the certificate.

    A file holds the models of all nodes, [N, d], or that of one node, [d] or [1, d], under any name.

    Args:
        document: the certificate.
        file: the file, in the format safetensors.

    Returns:
        A sentence about what was checked.

    Raises:
        CertificateError: if a model is not of the certificate.
        HandoverError: if the file holds no models.
    """
    models, theta = document["models"], _load(file)
    if theta.shape[1] != models["parameters"] or str(theta.dtype) != models["dtype"]:
        raise CertificateError(
            f"{file} has models of {theta.shape[1]} parameters in {theta.dtype}; those of the certificate have "
            f"{models['parameters']} in {models['dtype']}"
        )
    found = sha256_of(theta)
    if len(theta) == models["nodes"] and found == models["sha256"]:
        return f"{file} has the released models of all {len(theta)} nodes"
    if models["sha256"] is None:
        return Unchecked("the certificate has no hashes of models: the run, whose noise is secret, kept none of these")
    if len(theta) > 1:
        raise CertificateError(f"{file} does not have the released models: their sha256 is {found}")
    if models["each_sha256"] is None:
        return Unchecked(f"{file} has one model, and the certificate has no hashes of single models")
    nodes = [client_in(document, node) for node, sha256 in enumerate(models["each_sha256"]) if sha256 == found]
    if not nodes:
        raise CertificateError(f"{file} has the released model of no node: its sha256 is {found}")
    return f"{file} has the released model of node {', '.join(nodes[:10])}{' and others' * (len(nodes) > 10)}"


def _load(file: Path) -> NDArray[Any]:
    """Read the one array of a file, as [models, d]."""
    try:
        arrays = list(load_file(file).values())
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as problem:
        raise HandoverError(f"{file} cannot be read as safetensors: {problem}") from None
    if len(arrays) != 1 or arrays[0].ndim not in (1, 2):
        raise HandoverError(f"{file} must hold one array, the model of one node or of all nodes")
    return np.atleast_2d(arrays[0])
