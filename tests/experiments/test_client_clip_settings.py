"""Where `learning.client_clip` is refused: a sentence, before anything is computed."""

import pytest

from rewindnet.errors import UserError
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.yaml_files import resolve

SCENARIO = {
    "partition": {"kind": "iid", "clients": 4},
    "topology": {"kind": "complete"},
    "learning": {"rounds": 3, "client_clip": 0.06},
    "unlearning": [{"method": "r2d"}, {"method": "retrain"}],
}


def test_r2d_can_forget_a_client_that_clips() -> None:
    setup = build_run(resolve(SCENARIO, {}))
    assert setup.network.training_run.client_clip == 0.06
    assert setup.local_training.envelope is not None
    assert setup.local_training.envelope.tolerance == pytest.approx(6e-6)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model.kind": "huber-logistic"}, "client_clip is computed for the model logistic alone"),
        ({"backend.dtype": "float32"}, "client_clip needs backend.dtype float64"),
        ({"learning.client_clip": 3.0}, "client_clip 3 is never reached"),
        ({"unlearning": [{"method": "noisy-finetune"}]}, "takes gradients that learning.client_clip does not clip"),
    ],
)
def test_a_clip_that_is_not_covered_is_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_run(resolve(SCENARIO, change))


def test_methods_that_take_no_gradients_stand_beside_it() -> None:
    build_run(resolve(SCENARIO, {"unlearning": ["ridge", "anew", "do-nothing"]}))
