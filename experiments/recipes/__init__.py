"""Scenarios that ship with the package, each a file NAME.yaml that begins with a comment about it."""

from importlib.resources import files


def recipe_texts() -> dict[str, str]:
    """Return the YAML text of every recipe, by name."""
    entries = sorted(files(__name__).iterdir(), key=lambda entry: entry.name)
    found = [entry for entry in entries if entry.name.endswith(".yaml")]
    return {entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8") for entry in found}


def summary_of(text: str) -> str:
    """Return the first sentence of the comment at the head of a recipe."""
    words = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        words.append(line.lstrip("# "))
    return " ".join(words).partition(". ")[0].rstrip(".") + "."
