"""The site of the documentation: it is built without a warning, asks for nothing elsewhere, and its notebooks run."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from reference_pages.notebooks import notebook_page
from reference_pages.pictures import PICTURES

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


class Requests(HTMLParser):
    """What a browser fetches, without being asked, when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.addresses.append(given.get("src") or "")
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.addresses.append(given.get("href") or "")


@pytest.mark.slow
def test_the_site_is_built_and_asks_for_nothing_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs_autorefs")
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 40
    elsewhere = re.compile(r"^\s*(https?:)?//")
    for page in pages:
        text = page.read_text(encoding="utf-8")
        reader = Requests()
        reader.feed(text)
        assert [address for address in reader.addresses if elsewhere.match(address)] == [], page
        assert "{picture:" not in text
    for style in (tmp_path / "site").rglob("*.css"):
        fetched = re.findall(r"(?:url\(|@import\s*)[\"']?([^\"')]*)", style.read_text(encoding="utf-8"))
        assert [address for address in fetched if elsewhere.match(address)] == [], style


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "docs"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "NO_MKDOCS_2_WARNING": "1", "MPLBACKEND": "Agg"}


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_described_and_take_the_colours_of_the_page(name: str) -> None:
    picture = PICTURES[name]()
    assert re.search(r'<svg role="img" aria-label="[^"]{20,}"', picture)
    assert len(re.findall("<figcaption>", picture)) == 1
    assert "var(--series-0)" in picture
    assert len(picture) < 100_000


def test_every_picture_is_on_a_page() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    assert sorted(re.findall(r"^\{picture:([a-z-]+)\}$", pages, flags=re.MULTILINE)) == sorted(PICTURES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_page_with_its_code_and_results(path: Path) -> None:
    page = notebook_page(path)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert page.startswith("# ")
    assert path.stat().st_size < 50_000
    for cell in cells:
        assert "".join(cell["source"]) in page
        for output in cell.get("outputs", []):
            assert output["output_type"] in ("stream", "execute_result", "display_data")
    assert page.count('<div class="output"') == sum(len(cell.get("outputs", [])) for cell in cells) > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_what_is_stored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for key, value in environment().items():
        monkeypatch.setenv(key, value)
    book = nbformat.read(path, as_version=4)
    stored = [printed(cell) for cell in book.cells]
    nbclient.NotebookClient(book, timeout=600, kernel_name="python3").execute()
    assert [printed(cell) for cell in book.cells] == stored


def printed(cell: dict[str, Any]) -> str:
    """The text that a cell shows."""
    outputs = cell.get("outputs", [])
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)
