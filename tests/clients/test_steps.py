"""Steps register themselves, go over a wire by name, and are rounds of gossip unless they say otherwise."""

import json
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from networks import Network, further

from rewindnet.clients.methods import METHODS
from rewindnet.clients.step_records import from_record, to_record
from rewindnet.clients.steps.base import CommunicationStep, LocalStep, Step, registered_steps
from rewindnet.clients.steps.learning import Descend, Gossip
from rewindnet.errors import UserError

CASE = Network(
    *("ring", 5, "metropolis-hastings", "adapt-then-combine", "logistic", 1e-2, 1.0, 2, 6, 1, "half"),
    *((9,) * 5, "float64", 3),
)


def test_every_shipped_step_is_registered_under_its_name():
    with pytest.raises(ValueError, match="unknown step None"):
        from_record({})
    shipped = {name for name, step in registered_steps().items() if step.__module__.startswith("rewindnet.")}
    assert shipped == {
        *(
            "InitialModel",
            "AddNoise",
            "ClipModel",
            "Descend",
            "Gossip",
            "GossipFirst",
            "Average",
            "Spread",
            "LangevinRounds",
        ),
        *("NoisyFinetuneRounds", "GossipDPRounds", "WalkDPToken", "RRDUToken", "GradientAscentRounds"),
        *("FedEraserCalibration", "NewtonSweeps", "NewtonBroadcast", "NewtonResidual"),
        *(
            "FinetuneEpochs",
            "ScrubEpochs",
            "NegGradEpochs",
            "SalUnEpochs",
            "ManifoldEpochs",
            "NPOEpochs",
            "IDKEpochs",
            "SFRonEpochs",
            "LuneRounds",
            "SIURounds",
            "SpreadChange",
            "FisherNoise",
            "HessianFreeRounds",
            "CNSStep",
            "Recover",
            "DescendAgain",
            "DescendOtherwise",
            "RidgeSums",
            "LearnPublicRows",
        ),
    }
    assert all(registered_steps()[name].__name__ == name for name in shipped)


def test_a_step_of_another_s_name_is_refused():
    def again() -> None:
        @dataclass(frozen=True)
        class Gossip(CommunicationStep):
            rounds: range

    with pytest.raises(UserError, match=r"there is a step Gossip already, in rewindnet\.clients\.steps\.learning"):
        again()
    assert registered_steps()["Gossip"] is Gossip


def test_a_class_that_is_defined_again_is_the_same_step():
    def define() -> type[Step]:
        @dataclass(frozen=True, slots=True)
        class DefinedAgain(LocalStep):
            def apply(self, block, theta):
                return theta

        return DefinedAgain

    first, latest = define(), define()
    assert registered_steps()["DefinedAgain"] is latest
    assert first is not latest


def test_abstract_steps_are_not_registered():
    class WithAbstractMethod(CommunicationStep):
        @abstractmethod
        def own(self) -> None: ...

    class Named(CommunicationStep, ABC):
        pass

    known = registered_steps()
    assert {"Step", "LocalStep", "CommunicationStep", "WithAbstractMethod", "Named", "OrderedRounds"}.isdisjoint(known)


def test_no_step_is_made_from_another():
    shipped = [step for step in registered_steps().values() if step.__module__.startswith("rewindnet.")]
    assert not [(step, base) for step in shipped for base in step.__mro__[1:] if base in shipped]


def test_a_record_names_the_class_and_no_module():
    record = to_record(Descend("adapt-then-combine", range(2, 9)))
    assert record == {"step": "Descend", "order": "adapt-then-combine", "rounds": [2, 9, 1]}
    assert from_record(json.loads(json.dumps(record))) == Descend("adapt-then-combine", range(2, 9))


def test_what_is_no_step_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"unknown step 'Sleep'; there are: .*Descend, .*WalkDPToken"):
        from_record({"step": "Sleep"})


@dataclass(frozen=True)
class PlainRounds(CommunicationStep):
    """Everything by default."""

    rounds: range


def test_rounds_are_gossip_by_default():
    simulation = CASE.simulation()
    learned, _ = simulation.learn([3])
    name, plain = learned.checkpoint_names[3], PlainRounds(range(3, 6))
    assert not plain.needs_forget_set
    assert plain.required_checkpoints(3) == ()
    assert torch.equal(further(simulation, name, plain, 3), further(simulation, name, Gossip(range(3, 6)), 3))


MODULE = '''
from dataclasses import dataclass

from rewindnet.clients.methods import Method
from rewindnet.clients.steps.base import CommunicationStep


@dataclass(frozen=True)
class ThrownAway(CommunicationStep):
    rounds: range
    names: tuple[str, ...]


class ThrowAway(Method):
    """A method of another package."""

    def checkpoints(self, rounds):
        return (rounds,)

    def plan(self, learning):
        raise NotImplementedError
'''


def in_a_fresh_process(folder: Path, code: str) -> str:
    environment = {"PYTHONPATH": f"{Path(__file__).parents[2]}:{folder}", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_a_fresh_process_decodes_a_step_of_a_method_that_is_registered_by_name_alone(tmp_path: Path):
    (tmp_path / "thrown.py").write_text(MODULE, encoding="utf-8")
    code = """
import sys
from rewindnet.clients.methods import METHODS
from rewindnet.clients.step_records import from_record
METHODS.register("thrown-away", "thrown:ThrowAway")
assert "thrown" not in sys.modules
print(from_record({"step": "ThrownAway", "rounds": [1, 4, 1], "names": ["a", "b"]}))
"""
    assert in_a_fresh_process(tmp_path, code) == "ThrownAway(rounds=range(1, 4), names=('a', 'b'))"


@pytest.mark.parametrize(
    "step", [Gossip(range(3)), pytest.param(Descend("combine-then-adapt", range(1, 2)), marks=pytest.mark.slow)]
)
def test_a_fresh_process_decodes_shipped_steps(tmp_path: Path, step: Step):
    code = f"from rewindnet.clients.step_records import from_record\nprint(from_record({to_record(step)!r}))"
    assert in_a_fresh_process(tmp_path, code) == repr(step)


def test_the_methods_of_this_process_are_as_they_were():
    assert "thrown-away" not in METHODS
