"""The name of a client in a scenario."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.plain_data import plain_name, quoted


def _named_or_numbered(given: Any) -> Any:
    """Return the name or the number of a client.

    Raises:
        ScenarioError: if it is neither.
    """
    if isinstance(given, bool) or not isinstance(given, int | float | str) or given != given or given == "":
        raise ScenarioError(f"must be the number or the name of a client, not {quoted(given)}")
    name = plain_name(given)
    if isinstance(name, int) and name < 0:
        raise ScenarioError(f"must be greater than or equal to 0, not {name}; a name is given as text, '\"{name}\"'")
    return name


#: A client by its name in the data or the graph, or else by the number of its node.
ClientName = Annotated[int | str, BeforeValidator(_named_or_numbered)]
