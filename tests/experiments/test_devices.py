"""Which device a process computes on, on machines with and without GPUs."""

import json
import sys
import time
from pathlib import Path

import gpu_check
import pytest
import torch
from flwr.app import ConfigRecord, RecordDict

from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.worker import ClientWorker
from rewindnet.experiments.bench.deep_contests import DEEP_CONTESTS
from rewindnet.experiments.bench.rounds import BenchJob
from rewindnet.experiments.runs.job import RunJob
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.devices import device_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.simulator.transports.flower import client
from rewindnet.simulator.transports.flower.client import record


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_ranks_of_a_machine_take_its_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 3)
    for wanted in ("auto", "cuda"):
        assert [device_of(wanted, rank) for rank in range(5)] == [torch.device("cuda", at) for at in (0, 1, 2, 0, 1)]
    assert device_of("cpu", 1) == torch.device("cpu")


def test_without_a_gpu_auto_is_the_processor_and_cuda_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 0)
    assert device_of("auto", 3) == device_of("cpu") == torch.device("cpu")
    with pytest.raises(ScenarioError, match="torch finds no CUDA device here; use auto or cpu"):
        device_of("cuda", 3)


def test_every_rank_makes_its_clients_on_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = build_run(resolve({}, ("backend.device=auto",)))
    asked: list[object] = []
    monkeypatch.setattr(type(setup), "worker", lambda self, nodes, device=None: asked.append(device))
    with_gpus(monkeypatch, 2)
    bench, run = BenchJob.__new__(BenchJob), RunJob.__new__(RunJob)
    for job in (bench, run):
        job.__dict__.update(_setup=setup, setup=setup)
        for rank in (1, 2):
            job.worker([0], rank)
    assert asked == [torch.device("cuda", 1), torch.device("cuda", 0)] * 2


def test_convolutions_on_gpus_keep_all_bits_and_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    build_run(resolve({}))
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.deterministic


@pytest.mark.slow
def test_the_check_on_a_gpu_reports_parts_that_fail_and_stops_parts_at_their_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "import sys, pathlib; print('measured'); pathlib.Path(sys.argv[1], 'good.json').write_text('[7]')"
    made = {
        "late": gpu_check.Part(0.2, ("sleep", "60")),
        "bad": gpu_check.Part(9, (sys.executable, "-c", "print('begun'); raise SystemExit(3)")),
        "good": gpu_check.Part(9, (sys.executable, "-c", said, "{out}")),
    }
    monkeypatch.setattr(gpu_check, "parts", lambda workers: made)
    began = time.monotonic()
    assert gpu_check.main(["--out", str(tmp_path)]) == 1
    assert time.monotonic() - began < 50
    report = json.loads((tmp_path / "report.json").read_text())
    assert [part["ended"] for part in report.values()] == ["stopped after 0.2 s", "failed, exit status 3", "done"]
    assert report["bad"]["said"] == "begun\n"
    assert report["good"]["results"] == [7]
    assert (tmp_path / "report.txt").read_text() in capsys.readouterr().out
    assert gpu_check.main(["--out", str(tmp_path), "--part", "good"]) == 0
    assert list(json.loads((tmp_path / "report.json").read_text())) == list(made)


def test_the_parts_of_the_check_take_less_than_ten_minutes_together() -> None:
    parts = gpu_check.parts(16)
    assert sum(part.limit for part in parts.values()) <= 600
    assert {name for part in parts.values() for name in part.command if name in DEEP_CONTESTS} == set(DEEP_CONTESTS)


def test_a_flower_client_takes_up_states_and_messages_on_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device `meta` stands for a GPU: what was carried comes from the processor."""
    gpu = torch.device("meta")
    worker = build_run(resolve({"unlearning": ["do-nothing"]})).worker([0])
    carried = worker.full.blank().zero_()
    state = RecordDict({"client": record({"theta": carried}), "checkpoint kept": record({"theta": carried})})
    taken: list[torch.device] = []
    monkeypatch.setattr(ClientBlock, "blank", lambda self: torch.empty_like(carried, device=gpu))
    monkeypatch.setattr(ClientWorker, "take_up", lambda self, theta: taken.append(theta.device))
    monkeypatch.setattr(client, "in_node_order", lambda row, messages, out: [message.device for message in messages])
    state["trip"] = ConfigRecord({"requests_met": 0, "measures_noise": False})
    state["arrays"] = record({"message": carried})
    one = client._Client(worker, state)
    assert taken == [gpu]
    assert one._checkpoints["kept"].device == gpu
    assert one._mix([0, 1], [0.5, 0.5], record({"from-1": carried})) == [gpu, gpu]
