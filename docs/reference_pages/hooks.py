"""What MkDocs calls while it builds the site: pages that are made from the code are added here."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from reference_pages.choices import choice_pages
from reference_pages.commands import commands_page
from reference_pages.notebooks import notebook_page
from reference_pages.pictures import PICTURES
from reference_pages.python import python_page
from reference_pages.scenario import graph_scenario_page, scenario_page

#: Where the pages of choices are in the navigation.
_CHOICES = "reference/choices/"
_PICTURE = re.compile(r"^\{picture:([a-z-]+)\}$", flags=re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of choices into the navigation."""
    config.nav = _with_choices(config.nav)
    return config


def _with_choices(entry: Any) -> Any:
    """Return an entry of the navigation in which the folder of choices is replaced by its pages."""
    if entry == _CHOICES:
        return [f"{_CHOICES}{what}.md" for what in choice_pages()]
    if isinstance(entry, list):
        return [_with_choices(each) for each in entry]
    return {title: _with_choices(each) for title, each in entry.items()} if isinstance(entry, dict) else entry


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code, and the notebooks."""
    pages = {
        "reference/commands.md": commands_page(),
        "reference/scenario.md": scenario_page(),
        "reference/graph-scenario.md": graph_scenario_page(),
        "reference/python.md": python_page(),
        **{f"{_CHOICES}{what}.md": page for what, page in choice_pages().items()},
        **{
            f"notebooks/{path.stem}.md": notebook_page(path)
            for path in sorted((Path(config.docs_dir) / "notebooks").glob("*.ipynb"))
        },
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draw the pictures that a page names, like `{picture:light-cone}`."""
    return _PICTURE.sub(lambda found: PICTURES[found[1]](), markdown)
