"""The path of a token that visits one node: who has it in each round, and who takes a step."""

from dataclasses import dataclass
from functools import cached_property

from rewindnet.certificates.errors import CertificateError


@dataclass(frozen=True)
class TokenPath:
    """The path of a token, and its visits to a node u.

    Attributes:
        node: u, the deleting client, which has the token before the first round.
        begin: the address of the first round.
        holders: the node that has the token in each round.
        works: whether that node takes a step in the round, or passes the token on.

    Raises:
        CertificateError: if holders and works differ in length.
    """

    node: int
    begin: int
    holders: tuple[int, ...]
    works: tuple[bool, ...]

    def __post_init__(self) -> None:
        """Refuse lengths that differ."""
        if len(self.holders) != len(self.works):
            raise CertificateError("holders and works must have one entry for each round of the token")

    @cached_property
    def visit_rounds(self) -> tuple[int, ...]:
        """The rounds in which u takes a step."""
        steps = zip(self.holders, self.works, strict=True)
        return tuple(self.begin + index for index, (holder, works) in enumerate(steps) if works and holder == self.node)

    @property
    def steps_before_visit(self) -> int:
        """The number of steps of other nodes before u's first; of all steps, if u takes none."""
        return sum(self.works[: self.first_visit])

    @property
    def leaves_before_visit(self) -> bool:
        """Whether another node has the token before u's first step."""
        return any(holder != self.node for holder in self.holders[: self.first_visit])

    @property
    def first_visit(self) -> int:
        """The index of the round of u's first step; the number of rounds, if it takes none."""
        return self.visit_rounds[0] - self.begin if self.visit_rounds else len(self.holders)
