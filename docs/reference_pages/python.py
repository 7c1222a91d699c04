"""The page about the public names of the package; their documentation is read from the code by mkdocstrings."""

import rewindnet

_HEAD = """# Python

Everything that `import rewindnet` offers. [From Python](../python.md) shows how it is used together.
"""
#: The names in the order of the page; each of `rewindnet.__all__` is in one of the parts.
PARTS = {
    "Scenarios and runs": ("load", "Scenario", "run", "Result", "sweep", "load_study", "plan", "verify"),
    "Graph networks": ("explain", "GraphEvidence"),
    "Certificates": ("certify", "calibrate", "TrainingRun", "Release", "Claim", "Certificate"),
    "Topologies": ("build", "mixing_matrix"),
    "Handing over": ("export_certificate", "verify_certificate"),
    "Errors": ("UserError", "Notice"),
}
#: Names that are defined under another one.
_DEFINED = {"mixing_matrix": "mix"}


def python_page() -> str:
    """Return the page, with an instruction to mkdocstrings for each public name."""
    lines = [_HEAD]
    for part, names in PARTS.items():
        lines += [f"## {part}", ""]
        for name in names:
            found = getattr(rewindnet, name)
            lines += [f"::: {found.__module__}.{found.__name__}", ""]
    return "\n".join(lines)
