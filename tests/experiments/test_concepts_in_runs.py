"""Runs on images with prompts: what is left of a person is measured at every node, verified, and in the table."""

from typing import Any

import pytest
import torch
from runs import SharedRuns

from rewindnet.clients.metrics.concepts import concept_measures
from rewindnet.errors import UserError
from rewindnet.experiments.report.columns import COLUMNS
from rewindnet.experiments.report.table import legend
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.measures import check_measures
from rewindnet.experiments.verify.rebuild import rebuild
from rewindnet.experiments.verify.records import MismatchError
from rewindnet.experiments.verify.verify import verify_folder

SCENARIO: dict[str, Any] = {
    "name": "concepts",
    "data": {"source": "concepts", "peers": 2, "people": 3, "images": 1, "test_images": 1, "features": "raw"},
    "partition": "natural",
    "model": {"kind": "vlm", "layers": 1, "width": 8, "heads": 2, "seeing": 8},
    "topology": "path",
    "learning": {"rounds": 3, "step_size": 0.05, "local_steps": 2, "optimizer": "adamw"},
    "deletion": {"client": 0, "samples": {"indices": list(range(15))}},
    "unlearning": [{"method": "siu", "steps": 3, "step_size": 0.02}, {"method": "lune", "epochs": 1}],
    "audit": {"draws": 0},
    "measures": {"membership": False},
}


def test_what_is_left_of_a_person_is_measured_and_verified(run_once: SharedRuns) -> None:
    run = run_once(SCENARIO)
    assert all(finding.holds for finding in verify_folder(run.path))
    setup = build_run(resolve(SCENARIO))
    sets = setup.evaluations[0].concepts
    assert sets is not None
    recorded, row = run.methods[0].metrics["concepts"], run.summary[0]
    released, learned = (
        torch.from_numpy(run.weights(name)).double()
        for name in ("methods/0-siu/released", "checkpoints/learned-000003")
    )
    found = concept_measures(setup.network.model, released, learned, sets)
    assert list(found) == list(recorded)
    for name, values in found.items():
        assert recorded[name] == pytest.approx(values)
        assert row["concepts"][name]["mean"] == pytest.approx(sum(values) / 2)
    shown = {heading: content(row) for heading, content in COLUMNS}
    assert shown["C-Dis"] == f"{sum(found['c_dis']) / 2:.3g}"
    assert shown["name gone %"].count(" / ") == 1
    assert any(line.startswith("Name gone") for line in legend(run.summary))
    rebuilt, training = rebuild(run), run.training_run_of(0)
    for name in ("specificity", "c_dis", "efficacy"):
        run.methods[0].metrics["concepts"] = {**recorded, name: [recorded[name][0] - 1.0, recorded[name][1]]}
        with pytest.raises(MismatchError, match=f"{name} is recorded as"):
            check_measures(run, rebuilt, training, 0)
    del run.methods[0].metrics["concepts"]
    with pytest.raises(MismatchError, match="answers about a deleted person"):
        check_measures(run, rebuilt, training, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "gpt"}, "reads prompts of tokens, and an example of concepts is of the layout image-prompt"),
        ({"data": {"source": "facts", "features": "raw"}}, "reads images with prompts of tokens"),
        ({"unlearning": [{"method": "siu", "new_name": "Jacob Nemo"}]}, "has the word 'Nemo'"),
        ({"deletion": {**SCENARIO["deletion"], "attack": "stealthy"}}, "puts words around prompts"),
    ],
)
def test_what_has_no_meaning_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build_run(resolve({**SCENARIO, **changes}))
