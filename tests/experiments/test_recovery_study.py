"""The table of recovery against depth: its numbers, and what it refuses."""

import json

import numpy as np
import pytest
import yaml

from rewindnet.experiments.cli import app

SCENARIO = {
    "name": "backwards",
    "data": {"source": "synthetic", "samples": 60, "dimensions": 3, "classes": 3},
    "partition": {"clients": 4},
    "topology": {"kind": "ring", "mixing": {"kind": "lazy-metropolis-hastings"}},
    "learning": {"rounds": 8, "step_size": 0.5},
}


def command(tmp_path, capsys, *options):
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(SCENARIO), encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        app(["recovery", str(file), *options])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_the_table_has_the_distance_its_bound_and_how_far_learning_went(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, said, _ = command(tmp_path, capsys, "--depth", "1", "--depth", "6", "--out", str(tmp_path / "depths.json"))
    assert code == 0
    assert "learned meanwhile" in said
    depths = json.loads((tmp_path / "depths.json").read_text())["depths"]
    assert [depth["rounds"] for depth in depths] == [1, 6]
    for depth in depths:
        assert 0 < depth["distance"] <= depth["proven"] < 1e-6 < 1e-2 < depth["learned"]
        assert depth["apart"] < 1e-14
        # Undone, a round takes 4·3 messages, and run again the 8 of the ring; learning has eight rounds of those.
        assert depth["messages"] == pytest.approx(depth["rounds"] * (12 + 8) / (8 * 8))
    assert np.diff([depth["distance"] for depth in depths]) > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--depth", "8"), "less than all 8"),
        (("learning.checkpoints={every: 2}",), "leave out learning.checkpoints"),
        (("topology.kind=complete", "topology.mixing.kind=uniform"), "condition number"),
        (("learning.order=consensus-plus-gradient",), "would have to be inverted together"),
    ],
)
def test_what_cannot_be_recovered_is_a_sentence(options, words, tmp_path, capsys):
    code, said, complained = command(tmp_path, capsys, *options)
    assert (code, said) == (2, "")
    assert words in complained
    assert "Traceback" not in complained
