"""Verify summary.json against the certificates, audits and metrics of the releases."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from rewindnet.certificates import Audit
from rewindnet.experiments.folder.reader import RunFolder, goes_on_from_releases
from rewindnet.experiments.runs.composition import compose_releases
from rewindnet.experiments.runs.measures import table_row
from rewindnet.experiments.verify.plans import method_of
from rewindnet.experiments.verify.records import certificate_of, demand, demand_same, request_of, same


def check_table(folder: RunFolder) -> str:
    """Make every row of the table again, and the composition of all releases of a method.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if a row or a composition does not follow from the other records.
    """
    count = len(folder.scenario["unlearning"]) * len(folder.learning["requests"])
    demand(len(folder.summary) == count, f"the scenario makes {count} releases; the table has {len(folder.summary)}")
    for index, row in enumerate(folder.summary):
        demand_same(row, _expected_row(folder, index), partial("row {} says {} = {}; it is {}".format, index))
    _check_composition(folder)
    return f"{len(folder.summary)} rows, as their certificates, audits and metrics have it"


def _expected_row(folder: RunFolder, index: int) -> dict[str, Any]:
    """Make a row of the table from the records of its release."""
    records, request = folder.methods[index], request_of(folder, index)
    certificate, audit = certificate_of(records), Audit.from_record(records.audit)
    deleting = [int(node) for node in folder.learning["requests"][request]["forget"]]
    variant = method_of(folder, index).variant
    return {"request": request, **table_row(index, variant, certificate, audit, records.metrics, deleting)}


def _check_composition(folder: RunFolder) -> None:
    """Check the composed certificates of all releases of each method, where there are several requests."""
    methods, requests = len(folder.scenario["unlearning"]), len(folder.learning["requests"])
    certificates = [certificate_of(method) for method in folder.methods]
    by_method: Iterable[Any] = (certificates[index::methods] for index in range(methods))
    # Where learning goes on from releases, the certificate of a request covers what follows it.
    composed = requests > 1 and not goes_on_from_releases(folder.scenario)
    expected = compose_releases(list(by_method)) if composed else []
    demand(same(folder.compositions, expected), "the composition of all releases of a method does not follow from them")
