"""The code and the documents use one word for one thing: the terms of the glossary, and none that they replaced."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Words that the glossary's terms have replaced, each with the term to use.
REPLACED = {
    "crew": "ClientWorker, worker",
    "habits": "LocalTraining",
    "awake": "participating",
    "shelf": "checkpoints",
    "coins": "rng, random draws",
    "foreseen": "training facts",
    "foresee": "build_network",
    "prospect": "NetworkSetup",
    "survey": "NetworkSetup",
    "carry_out": "execute",
    "redraw": "resample_noise",
    "counterpart": "oracle_state",
    "feel": "reached",
    "felt": "reached",
    "hearers": "affected_nodes",
    "hears": "receives",
    "hear": "receive",
    "pairings": "matchings",
    "spared": "retained",
    "restored": "checkpoint_round",
    "settle": "gossip_rounds",
    "whom": "the noun",
    "nobody": "the noun",
    "whoever": "the noun",
    "everybody": "the noun",
    "anybody": "the noun",
    "ε sound": "ε certified",
    "ε audited": "ε empirical",
    "ε proved": "ε certified",
    "ε found": "ε empirical",
}

#: Lines in which a former name has to stand, because it is accepted from users with a notice.
ACCEPTED = re.compile(r"@former\(")


def files() -> list[Path]:
    """The code, the documents and the recipes."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    rooms = (
        "topologies/",
        "certificates/",
        "clients/",
        "simulator/",
        "experiments/",
        "docs/",
        "rewindnet/",
        "README",
        "CONTR",
    )
    paths = [
        ROOT / name for name in listed if name.startswith(rooms) and name.endswith((".py", ".md", ".yaml", ".html"))
    ]
    return [path for path in paths if not path.is_symlink()]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the list of files comes from git")
def test_replaced_words_stay_out() -> None:
    pattern = re.compile(rf"(?<![\w`])({'|'.join(map(re.escape, REPLACED))})(?!\w)", flags=re.IGNORECASE)
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {found[0]!r} is {REPLACED[found[0].lower()]} now: {line.strip()}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for found in pattern.finditer(line)
        if not ACCEPTED.search(line)
    ]
    assert not lines, "\n".join(lines)


def test_the_glossary_has_every_term_once() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    terms = [term.strip() for row in rows if row.strip() not in ("term", "---") for term in row.split(",")]
    assert len(terms) > 60
    assert sorted(terms) == sorted(set(terms))
