"""Images that are cropped and flipped while clients learn: what is done, that it repeats, and what is certified."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from runs import SharedRuns

from rewindnet.clients.training.augmentation import Augmentation, AugmentationError
from rewindnet.errors import UserError
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.yaml_files import load
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.topologies.rng import Stream, rng_at

SCENARIO: dict[str, Any] = {
    "name": "augmented",
    "data": {"source": "digits", "features": "raw", "limit": 200},
    "partition": {"clients": 4},
    "topology": "ring",
    "model": {"kind": "mlp", "widths": [4]},
    "learning": {
        "rounds": 6,
        "step_size": 0.1,
        "local_steps": 2,
        "sampling": {"kind": "poisson", "batch": 8},
        "augmentation": {"crop": 2, "flip": True},
    },
    "deletion": {"samples": 5},
    "unlearning": [{"method": "r2d", "rewind": 0.5, "sigma": 0.01}, {"method": "r2d", "rewind": 1.0, "sigma": 0.01}],
    "measures": {"membership": False},
    "audit": {"draws": 0},
}


@pytest.mark.parametrize("shape", [(5, 4), (3, 5, 4)])
@pytest.mark.parametrize("flip", [False, True])
def test_images_are_moved_within_a_frame_and_turned(shape: tuple[int, ...], flip: bool) -> None:
    x = torch.arange(2.0 * 3 * np.prod(shape)).view(2, 3, -1) + 1
    places = torch.tensor([[4, 0, 2], [1, 1, 0]])
    found = Augmentation(7, shape, 2, flip).apply(x, [3, 8], [6, 2], places, 9, 1)
    turns = []
    for client, (node, held) in enumerate([(3, 6), (8, 2)]):
        generator = rng_at(7, Stream.AUGMENTATION, 9, node, context="step 1")
        moves, turned = generator.integers(5, size=(held, 2)), generator.integers(2, size=held)
        for at, place in enumerate(places[client].tolist()):
            image = x[client, at].numpy().reshape(-1, 5, 4)
            framed = np.pad(image, ((0, 0), (2, 2), (2, 2)))
            down, right = moves[place]
            expected = framed[:, down : down + 5, right : right + 4]
            turns.append(bool(flip and turned[place]))
            expected = expected[:, :, ::-1] if turns[-1] else expected
            np.testing.assert_array_equal(found[client, at].numpy().reshape(-1, 5, 4), expected)
    assert any(turns) == flip
    # What a place holds changes nothing at the others, and a place beyond what was held is padding.
    again = Augmentation(7, shape, 2, flip).apply(x[:, :2], [3, 8], [6, 2], places[:, :2], 9, 1)
    assert torch.equal(again, found[:, :2])
    padded = Augmentation(7, shape, 2, flip).apply(x, [3, 8], [6, 2], None, 9, 1)
    assert torch.equal(padded[1, 2], x[1, 2])


def test_replays_see_the_same_images_and_certificates_say_why_there_is_none(run_once: SharedRuns) -> None:
    run = run_once(SCENARIO)
    half, whole = run.summary[:2]
    assert half["epsilon_certified"] is None
    assert "the network learned with learning.augmentation" in half["reason"]
    # From the initial model it is retraining, whatever the images.
    assert whole["epsilon_certified"] == 0
    assert whole["divergence"] == 0
    assert half["divergence"] > 0
    hashes = run.record["weights_sha256"]
    assert hashes["methods/1-r2d/centre"] == hashes["checkpoints/retrained-000006"]
    assert all(finding.holds for finding in verify_folder(run.path))
    # A checkpoint that was not kept is run again.
    replayed = run_once(SCENARIO, "learning.checkpoints={every: 2}").record["weights_sha256"]
    assert replayed["checkpoints/learned-000003"] == hashes["checkpoints/learned-000003"]
    plain = run_once(SCENARIO, "learning.augmentation=null").record["weights_sha256"]
    assert plain["checkpoints/learned-000006"] != hashes["checkpoints/learned-000006"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["learning.augmentation.crop=8"], r"crop must be smaller than the images, \[8, 8\], not 8"),
        (["data={source: synthetic, samples: 60}"], "takes images"),
        (["model={kind: logistic}"], "is for models of images"),
        (["learning.augmentation.crop=-1"], "learning.augmentation.crop"),
    ],
)
def test_what_cannot_be_augmented_is_refused(settings: list[str], words: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump(SCENARIO))
    with pytest.raises(UserError, match=words):
        build_run(load(path, settings))
    with pytest.raises(AugmentationError, match="takes images"):
        Augmentation(0, (9,), 0, True)
