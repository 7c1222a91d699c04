"""Terminals as people have them: narrow, without Greek letters, interrupted, closed; full disks and hostile names."""

import csv
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from rich.progress import Task
from typer.testing import CliRunner

from rewindnet.experiments.cli import app
from rewindnet.experiments.console import Terminal, terminal
from rewindnet.experiments.fitting import fitting_widths, print_fitting
from rewindnet.experiments.folder.lock import FolderLock
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.folder.recorder import Recorder
from rewindnet.experiments.plain_text import spelled, visible
from rewindnet.experiments.report import table
from rewindnet.experiments.report.compare import rows_of
from rewindnet.experiments.runs.launch import _title
from rewindnet.experiments.runs.progress import LiveProgress
from rewindnet.experiments.scenario.yaml_files import resolve

ROOT = Path(__file__).parents[2]
TINY: dict[str, Any] = {
    "data": {"source": "synthetic", "samples": 100, "dimensions": 3},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 10},
    "deletion": {"samples": 2},
    "unlearning": ["r2d", "retrain", "do-nothing"],
    "measures": {"membership": False},
}


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "250", "PYTHONUNBUFFERED": "", **more}


def command(*arguments: object, stdout: Any = subprocess.PIPE, **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "rewindnet", *map(str, arguments)],
        env=environment(**more),
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=120,
    )


def here(folder: Path, *arguments: object, columns: int = 250) -> Result:
    with chdir(folder):
        return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": str(columns)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(resolve(TINY).to_yaml(), encoding="utf-8")
    return tmp_path


@pytest.fixture
def finished(run_once: Any) -> RunFolder:
    run: RunFolder = run_once(TINY)
    return run


# What the encoding of a terminal cannot show


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("ε certified — σ·√d/‖θ‖", "ascii", "eps certified - sigma*sqrt d/||theta||"),
        ("ε certified — δ", "cp1252", "eps certified — delta"),
        ("ε — δ", "utf-8", "ε — δ"),
        ("Zürich", "ascii", "Zurich"),
        ("東京", "ascii", r"\u6771\u4eac"),
        ("1† and 2‡, ∞", "latin-1", "1+ and 2#, inf"),
    ],
)
def test_symbols_are_spelled_where_an_encoding_lacks_them(text: str, encoding: str, shown: str) -> None:
    assert spelled(text, encoding) == shown


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "koi8-r"])
def test_a_table_can_be_printed_in_every_encoding(encoding: str, finished: RunFolder) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    table.print_table(finished.summary, Terminal(file=file, width=110), "what — it is")
    file.seek(0)
    lines = file.read().splitlines()
    drawn = [line for line in lines if line[:1] in ("|", "+")]
    assert any("eps certified" in line for line in drawn)
    assert len({len(line) for line in drawn}) == 1
    assert any("eps at delta = 1e-05" in line for line in lines)


@pytest.mark.parametrize(
    ("encoding", "dash"), [("ascii", b"-"), pytest.param("cp1252", b"\x97", marks=pytest.mark.slow)]
)
def test_commands_end_well_on_a_terminal_without_greek(encoding: str, dash: bytes, finished: RunFolder) -> None:
    listed = command("list", "recipes", PYTHONIOENCODING=encoding)
    assert (listed.returncode, listed.stderr) == (0, b"")
    assert b"at eps = 1 and delta = 1e-5: eps claimed" in listed.stdout
    compared = command("compare", finished.path, PYTHONIOENCODING=encoding)
    assert (compared.returncode, compared.stderr) == (0, b"")
    assert b"eps certified" in compared.stdout
    assert dash + b" do-nothing" in compared.stdout


# What cannot be written


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full here")
def test_a_full_disk_under_the_output_is_a_sentence_and_an_exit_code_of_its_own() -> None:
    with open("/dev/full", "w") as full:
        done = command("list", "recipes", stdout=full)
    assert done.returncode == 3
    assert done.stderr.decode() == "rewindnet: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("arguments", [("list", "recipes"), ("--version",), ("--help",)])
def test_a_pipe_that_its_reader_has_closed_is_a_sentence_and_an_exit_code_of_its_own(arguments: tuple[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as closed:
        done = command(*arguments, stdout=closed)
    assert done.returncode == 3
    assert done.stderr.decode() == (
        "rewindnet: the output was not written to its end: its reader has closed the pipe\n"
    )


def test_a_page_that_cannot_be_written_is_refused_before_it_is_made(
    finished: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*_: object) -> str:
        raise AssertionError("the page was made")

    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("rewindnet.experiments.report.page._sections", made)
    monkeypatch.setattr("rewindnet.experiments.folder.files.TemporaryFile", refuse)
    for arguments in (("report", finished.path), ("compare", finished.path, "--out", finished.path / "new" / "t.md")):
        done = here(finished.path, *arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.endswith("cannot be written: Read-only file system")
    monkeypatch.undo()
    (finished.path / "report.html").mkdir()
    done = here(finished.path, "report", finished.path)
    assert done.exit_code == 2
    assert done.stderr.endswith("report.html cannot be written: it is a folder\n")


# Interruptions


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Signals do what they do in a process of its own, whoever runs the tests; under nohup SIGHUP is ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


SECRET = "noise_source os keeps no unfinished run, so the same command begins anew"


@pytest.mark.parametrize(
    ("number", "code", "more", "sentence"),
    [
        (signal.SIGINT, 130, (), "interrupted; the same command goes on"),
        (signal.SIGINT, 130, ("--force",), "interrupted; the same command without --force goes on"),
        (signal.SIGINT, 130, ("unlearning.0.noise_source=os",), f"interrupted; {SECRET}"),
        (signal.SIGTERM, 143, (), "ended by SIGTERM; the same command goes on"),
        (signal.SIGHUP, 129, (), "ended by SIGHUP; the same command goes on"),
    ],
)
def test_an_interrupted_run_says_how_it_goes_on(
    folder: Path,
    interruptible: None,
    number: signal.Signals,
    code: int,
    more: tuple[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = Recorder.write_round

    def interrupted(self: Recorder, line: dict[str, Any], *rest: Any) -> None:
        if line["round"] == 4:
            signal.raise_signal(number)
        written(self, line, *rest)

    monkeypatch.setattr(Recorder, "write_round", interrupted)
    stopped = here(folder, "run", "tiny.yaml", "--out", "out", *more)
    assert (stopped.exit_code, stopped.stdout, stopped.stderr) == (code, "", f"rewindnet: {sentence}\n")
    monkeypatch.undo()
    again = here(folder, "run", "tiny.yaml", "--out", "out", *(each for each in more if each != "--force"))
    assert again.exit_code == 0, again.stderr


def test_an_interruption_before_anything_is_written_promises_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rewindnet.experiments.runs.launch.build_run", interrupted)
    done = here(folder, "run", "tiny.yaml", "--out", "out")
    assert (done.exit_code, done.stderr) == (130, "rewindnet: interrupted\n")
    assert not (folder / "out").exists()


def test_a_bar_begins_where_the_run_stands_and_estimates_from_there() -> None:
    progress = LiveProgress(Terminal(file=io.StringIO(), force_terminal=True))
    progress.phase("learn", 200)
    for _ in range(150):
        progress.passed_over()
    (bar,) = progress._bars.tasks
    assert isinstance(bar, Task)
    assert (bar.completed, bar.total, bar.speed) == (150, 200, None)
    for _ in range(3):
        progress.advance()
    assert bar.completed == 153
    assert bar.time_remaining is not None
    # Rounds that are passed over take no time: counted, they would make hours look like a moment.
    assert bar.speed is not None
    assert sum(sample.completed for sample in bar._progress) == 3


# Names that users give


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("two\nlines\tand a bell\a", r"two\nlines\tand a bell\x07"),
        ("\x9b1m, \u202egnp.exe", r"\x9b1m, \u202egnp.exe"),
        ("byte \udcff", r"byte \udcff"),
        ("Zürich ε — 東京 \u200c", "Zürich ε — 東京 \u200c"),
        ("[bold]x[/b]", "[bold]x[/b]"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("name", ["x[/b]", "[bold]y", ":smile:", "\x1b[31mred"])
def test_a_path_is_printed_as_it_is(folder: Path, name: str) -> None:
    done = here(folder, "run", "tiny.yaml", "learning.rounds=3", "unlearning=[r2d]", "--out", f"a {name}")
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"run folder: a {visible(name)}\n" in done.stdout
    assert "\x1b" not in done.stdout
    refused = here(folder, "run", "tiny.yaml", "--out", f"a {name}")
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"rewindnet: a {visible(name)} already holds a run")
    console = Terminal(file=io.StringIO(), width=200)
    print_fitting(console, name, [(name, [name])])
    assert console.file.getvalue().count(visible(name)) == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "arguments", [["\x1b[31mfly"], ["run", "\x1b]0;title\x07"], ["list", "\x1b[2J"], ["--\x1b[1m"]]
)
def test_an_escape_sequence_in_an_argument_does_not_reach_the_terminal(folder: Path, arguments: list[str]) -> None:
    done = here(folder, *arguments)
    assert done.exit_code == 2
    assert r"\x1b" in done.stderr
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", "\t=1"])
def test_a_name_is_no_formula_in_a_table_for_spreadsheets(finished: RunFolder, name: str, tmp_path: Path) -> None:
    (tmp_path / name.replace("/", "-")).symlink_to(finished.path)
    rows = [{**row, "run": name, "reason": f"{name} and more"} for row in rows_of([finished], [finished.path])]
    from rewindnet.experiments.report.compare import _csv

    for line in csv.DictReader(io.StringIO(_csv(rows))):
        assert line["run"] == f"'{name}"
        assert line["reason"].startswith("'")
        assert float(line["sigma"]) >= 0


def test_a_name_is_no_html_and_no_markup_in_markdown(finished: RunFolder, tmp_path: Path) -> None:
    folders = [tmp_path / "<img src=x onerror=alert(1)>", tmp_path / "[a](http:b) *c* `d` $e$ |f"]
    for each in folders:
        each.symlink_to(finished.path)
    rows = [{**row, "run": each.name} for each in folders for row in finished.summary]
    from rewindnet.experiments.report.compare import _markdown

    text = _markdown(rows)
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert r"\[a\](http:b) \*c\* \`d\` \$e\$ \|f" in text
    assert len({line.replace(r"\|", "").count("|") for line in text.splitlines() if line.startswith("|")}) == 1


@pytest.mark.parametrize("name", [r"$\frac{$", "$x^2$", "a$b", "a_^{}"])
def test_names_are_no_mathematics_in_pictures(finished: RunFolder, name: str, tmp_path: Path) -> None:
    from rewindnet.experiments.report.drawing import figure, style

    with style():
        _, axes = figure(3, 2)
        axes.set_title(name)
        axes.set_yscale("log")
        axes.plot([1, 2], [1e-5, 1e5], label=name)
        axes.legend()
        axes.figure.canvas.draw()
        legend = axes.get_legend()
        assert legend is not None
        assert not any(text.get_parse_math() for text in (axes.title, *legend.get_texts()))
    one, other = tmp_path / name, tmp_path / "other"
    one.symlink_to(finished.path)
    other.symlink_to(finished.path)
    rows = [{"run": each.name, **row} for each in (one, other) for row in finished.summary]
    from rewindnet.experiments.report.compare_picture import claims, picture

    assert picture(rows).startswith(b"\x89PNG")
    assert {text.get_text().split(":")[0] for text in claims(rows).figure.axes[0].get_yticklabels()} == {name, "other"}


# Narrow terminals


@pytest.mark.parametrize("columns", [60, 80, 110])
def test_a_run_can_be_read_on_a_narrow_terminal(finished: RunFolder, columns: int) -> None:
    done = here(finished.path, "compare", finished.path, columns=columns)
    assert done.exit_code == 0
    drawn = [line for line in done.stdout.splitlines() if line[:1] in "┃│"]
    assert max(map(len, drawn)) <= columns
    assert not any("…" in line for line in drawn)
    assert len([line for line in drawn if line.startswith("│")]) == 3
    assert "certified" in "".join(drawn)
    assert "(--wide shows them)" in done.stdout
    wide = here(finished.path, "compare", finished.path, "--wide", columns=columns)
    assert "columns that do not fit" not in wide.stdout
    assert all(heading in wide.stdout for heading in ("ε lower bound", "σ√d/‖θ‖", "network time"))


def test_a_plan_can_be_read_at_80_columns(folder: Path) -> None:
    view = "unlearning=[{method: r2d, view: 'transcript:all', placement: rewind}, r2d]"
    done = here(folder, "plan", "tiny.yaml", view, "--out", "plan", columns=80)
    assert done.exit_code == 0, done.stderr
    drawn = [line for line in done.stdout.splitlines() if line[:1] in "┃│"]
    assert max(map(len, drawn)) <= 80
    assert not any("…" in line for line in drawn)
    # No cell is broken: two rows, eleven depths, four clients.
    assert len([line for line in drawn if line.startswith("│")]) == 2 + 11 + 4
    wide = here(folder, "plan", "tiny.yaml", view, "--out", "plan", "--force", "--wide", columns=80)
    assert "columns that do not fit" not in wide.stdout
    assert "gradients" in wide.stdout


def test_columns_are_left_out_in_their_order_and_the_rest_shares_the_width() -> None:
    columns = [("one two", ["1"]), ("second", ["22"]), ("third", ["333"])]
    console = terminal()
    console.width = 10**3
    assert fitting_widths(console, columns, ["third"]) == {"one two": 7, "second": 6, "third": 5}
    console.width = 24
    assert fitting_widths(console, columns, ["third", "second"]) == {"one two": 7, "second": 6}
    console.width = 18
    assert fitting_widths(console, columns, ["third"]) == {"one two": 3, "second": 6}
    assert fitting_widths(console, columns, ["third"], ["second"]) == {"one two": 3, "second": 6}
    console.width = 12
    assert fitting_widths(console, columns, ["third"], ["second"]) == {"one two": 3}
    assert sum(fitting_widths(console, columns, []).values()) + 10 <= 13


# Grammar


@pytest.mark.parametrize(
    ("topology", "deletion", "title"),
    [
        ("erdos-renyi", {}, "client 0 of an erdos-renyi network deletes 10 of its samples"),
        ("star", {"client": 3, "samples": "all"}, "client 3 of a star network deletes all of its samples"),
        ("star", {"samples": 1.0}, "client 0 of a star network deletes all of its samples"),
        ("star", {"samples": 1}, "client 0 of a star network deletes 1 of its samples"),
        ("star", {"samples": 0.5}, "client 0 of a star network deletes 50 % of its samples"),
        ("star", {"samples": {"class": 3}}, "client 0 of a star network deletes its samples of class 3"),
        ("star", {"samples": {"indices": [4, 5]}}, "client 0 of a star network deletes 2 of its samples"),
        ("star", {"samples": "poisoned"}, "client 0 of a star network deletes its poisoned samples"),
        (
            "exponential",
            {"requests": [{"client": 1}, {"client": 2}]},
            "2 requests to forget in an exponential network, of the clients 1, 2",
        ),
        ({"kind": "file", "path": "x"}, {}, "client 0 of a network from a file deletes 10 of its samples"),
    ],
)
def test_titles_are_sentences(topology: Any, deletion: dict[str, Any], title: str) -> None:
    scenario = resolve({"topology": topology, "deletion": deletion, "data": {"backdoor": {"client": 0}}})
    assert _title(scenario, None) == f"demo: {title}"


# Sweeps


def test_a_second_sweep_takes_what_is_free_and_says_what_is_left(folder: Path) -> None:
    arguments = (
        "sweep",
        "tiny.yaml",
        "seed=0,1",
        "unlearning=[r2d]",
        "learning.rounds=4",
        "--out",
        "grid",
        "--jobs",
        "1",
    )
    first = here(folder, *arguments)
    assert first.exit_code == 0, first.stderr
    taken, *_ = sorted(path for path in (folder / "grid").iterdir() if path.name.startswith("seed=1"))
    record = taken / "record.json"
    record.write_text(record.read_text("utf-8").replace('"complete"', '"incomplete"'), "utf-8")
    lock = FolderLock(taken)
    try:
        second = here(folder, *arguments)
    finally:
        lock.release()
    assert (second.exit_code, second.stderr) == (0, "")
    assert f"left to another process, and not in the table: {taken.name}" in second.stdout
    assert "demo: 1 run " in second.stdout
    third = here(folder, *arguments)
    assert third.exit_code == 0
    assert "left to another process" not in third.stdout


def test_every_command_names_the_folder_that_it_writes_by_default(folder: Path) -> None:
    for name, where in (("run", "runs/<name> by"), ("sweep", "runs/<name>-sweep by"), ("plan", "runs/<name>-plan by")):
        assert where in here(folder, name, "--help").stdout
