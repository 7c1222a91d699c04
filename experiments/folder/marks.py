"""Complete the marks of ε in the summaries of runs that were recorded before these were part of them."""

from collections.abc import Mapping, Sequence

from rewindnet.experiments.folder.files import Json

#: What rows of deep models had in place of `doubtful_constants`.
_FORMER = "estimated_constants"


def add_marks(rows: Sequence[Json], compositions: Sequence[Json], certificates: Sequence[Json]) -> None:
    """Add to a summary, from the certificates, whether each ε holds only if constants do, or depends on the data.

    What is recorded stays as it is, so that a false record is found.

    Args:
        rows: the rows of the table, which are changed.
        compositions: the compositions of the releases of each method, which are changed.
        certificates: the record of the certificate of each row.
    """
    for row, certificate in zip(rows, certificates, strict=True):
        row.pop(_FORMER, None)
        if certificate.get("conditional") and _doubtful(certificate.get("constants")):
            row.setdefault("doubtful_constants", True)
    for at, entry in enumerate(compositions):
        own = certificates[at :: len(compositions)]
        if isinstance(entry, dict):
            entry.setdefault("data_dependent_noise", any(bool(one.get("data_dependent_noise")) for one in own))


def _doubtful(constants: object) -> bool:
    """Return whether a constant is only estimated or declared; never where they are unknown, since none is used."""
    found = constants.values() if isinstance(constants, Mapping) else ()
    sources = {str(one.get("provenance")) for one in found if isinstance(one, Mapping)}
    return "unknown" not in sources and bool(sources & {"estimated", "declared"})
