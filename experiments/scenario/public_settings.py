"""The section `data.public` of a scenario: which rows are public."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from rewindnet.experiments.scenario.client_name import ClientName
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.sections import Choice, Section


class OtherData(Choice):
    """Another data set, whose training rows are public.

    Attributes:
        source: the source.
        limit: the number of its training samples that are read, from the first on; None for all.
    """

    what, key = "data", "source"
    source: str = ""
    limit: Annotated[int, Field(ge=1)] | None = None


class PublicSettings(Section):
    """Rows that are public, so that no request can delete them: by exactly one of these.

    Attributes:
        clients: clients who volunteer their samples: the last so many, or such a share of all, or those of these names.
            They stay in the network.
        classes: classes of the data; their rows are taken out of the task.
        other: another data set.
    """

    clients: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] | list[ClientName] | None = None
    classes: Annotated[list[int | str], Field(min_length=1)] | None = None
    other: OtherData | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "PublicSettings":
        """Refuse none of the three, and two at a time."""
        given = [name for name in ("clients", "classes", "other") if getattr(self, name) is not None]
        if len(given) != 1 or self.clients == []:
            raise ScenarioError(f"takes one of clients, classes and other, not {' and '.join(given) or 'none'}")
        return self

    def plain(self) -> dict[str, Any]:
        """Return what is given as plain data."""
        return {"other": self.other.plain()} if self.other is not None else self.model_dump(exclude_none=True)
