"""What the documentation of a class or function says about each of its arguments or attributes."""

import re


def meanings(documentation: str) -> dict[str, str]:
    """Return what documentation says about each argument or attribute.

    Args:
        documentation: a docstring without its indentation.
    """
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", documentation, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
