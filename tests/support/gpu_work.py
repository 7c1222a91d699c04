"""The parts of `gpu_check` that compute: what the card does, the same models as on a CPU, and how many nodes fit."""

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from rewindnet.certificates.findings import tally
from rewindnet.clients.models.deep.torch_model import TorchModel
from rewindnet.clients.steps.learning import Descend, InitialModel
from rewindnet.experiments.bench.contests import CONTESTS
from rewindnet.experiments.bench.rounds import BenchJob
from rewindnet.experiments.runs.launch import run_in
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.engine import execute
from rewindnet.simulator.task import Task
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.wire import InProcess

_DIGITS = {"source": "digits", "features": {"kind": "raw"}}
_SMALL_CNN = {"kind": "cnn", "channels": [2, 3], "kernel": 3, "widths": [8]}
#: What a GPU and a CPU learn alike up to rounding, in double precision.
SAME: dict[str, dict[str, Any]] = {
    "logistic": {},
    "exact": {"backend": {"precision": "exact"}},
    "minibatches": {"learning": {"local_steps": 3, "sampling": {"kind": "poisson", "batch": 8}}},
    "mlp": {"model": {"kind": "mlp"}, "learning": {"step_size": 0.1}},
    "module": {
        "model": {"kind": "module", "path": "rewindnet.experiments.bench.modules:mlp"},
        "learning": {"step_size": 0.1},
    },
    "cnn": {"data": _DIGITS, "model": _SMALL_CNN, "learning": {"step_size": 0.1}},
    "cnn on minibatches": {
        "data": _DIGITS,
        "model": _SMALL_CNN,
        "learning": {"local_steps": 3, "step_size": 0.1, "sampling": {"kind": "poisson", "batch": 8}},
    },
    "adam": {"learning": {"step_size": 0.01, "optimizer": "adam"}},
}


def rates(name: str, work: Callable[[], object], amount: float, unit: str) -> float:
    """Print and return how much work is done in a second: the median of nine."""
    taken = []
    for _ in range(12):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    rate = amount / sorted(taken[3:])[4]
    print(f"{name}: {rate:.4g} {unit}")
    return rate


def machine() -> dict[str, Any]:
    """Measure products of matrices and copies."""
    n, found = 8192, {"card": torch.cuda.get_device_name(), "torch": torch.__version__, "cuda": torch.version.cuda}
    print(found, f"{torch.cuda.get_device_properties(0).total_memory / 2**30:.1f} GiB")
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        a = torch.randn(n, n, device="cuda", dtype=dtype)
        found[f"GEMM {dtype}"] = rates(f"product of {n}, {dtype}", lambda a=a: a @ a, 2e-12 * n**3, "TFLOP/s")
    torch.backends.cuda.matmul.allow_tf32 = True
    a = torch.randn(n, n, device="cuda")
    found["GEMM tf32"] = rates(f"product of {n}, tf32", lambda: a @ a, 2e-12 * n**3, "TFLOP/s")
    torch.backends.cuda.matmul.allow_tf32 = False
    x = torch.empty(2 << 30, dtype=torch.uint8, device="cuda")
    found["copy"] = rates("copy", x.clone, 2 * len(x) / 1e12, "TB/s read and written")
    return found


def learned(scenario: dict[str, Any], device: str, rounds: int = 5) -> torch.Tensor:
    """Return the models after some rounds of learning on a device."""
    content = {"unlearning": ["do-nothing"], **json.loads(json.dumps(scenario))}
    setup = build_run(resolve(content, (f"backend.device={device}",)))
    worker = setup.worker(range(setup.network.nodes))
    wire = InProcess(setup.network.nodes, setup.scenario.backend.precision)
    steps = (InitialModel(0),), (Descend(setup.network.training_run.order, range(rounds)),)
    execute(WorkerNetwork(worker, wire), Task("gpu", 0, None, *steps, 0, frozenset()), setup.network.mixing, ())
    return worker.theta.cpu()


def same() -> dict[str, Any]:
    """Learn on a CPU and on the GPU and compare the models; run and verify the demo on the GPU."""
    found: dict[str, Any] = {}
    for name, scenario in SAME.items():
        on_cpu, on_gpu = learned(scenario, "cpu"), learned(scenario, "cuda")
        apart = float((on_cpu - on_gpu).abs().max() / on_cpu.abs().max())
        again = bool(torch.equal(on_gpu, learned(scenario, "cuda")))
        found[name] = {"apart": apart, "repeats": again}
        close = "as it should be" if apart < 1e-9 else "TOO MUCH"
        print(f"{name}: {apart:.1e} apart, {close}; {'the same' if again else 'OTHER'} bits a second time", flush=True)
    with TemporaryDirectory() as scratch:
        run_in(resolve({}, ("backend.device=cuda", "backend.dtype=float32")), Path(scratch) / "run")
        findings = verify_folder(Path(scratch) / "run")
    found["demo"] = tally(findings)
    print(f"the demo, learned on the GPU: {tally(findings)}")
    for finding in findings:
        if not finding.holds:
            print(f"  FAILS {finding.what}: {finding.sentence}")
    return found


def timed(name: str, *settings: str, rounds: int = 2, careful: bool = True) -> tuple[float, int]:
    """Return the seconds of a round of a contest's scenario on the GPU, and the most memory."""
    scenario = resolve(json.loads(json.dumps(CONTESTS[name].scenario)), ("backend.device=cuda", *settings))
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with TemporaryDirectory() as scratch:
        job = BenchJob(scenario, rounds, Path(scratch))
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = not careful, careful
        scenario.backend.build().execute(job)
        return job.seconds()[0], torch.cuda.max_memory_allocated()


def ways() -> dict[str, Any]:
    """Compare nodes with convolutions computed one by one and together, with all bits and repeatably or not."""
    found: dict[str, Any] = {}
    usual = TorchModel.one_by_one
    for name in ("cnn-1000", "resnet18"):
        for careful in (True, False):
            for alone in (False, True) if name == "resnet18" else (False,):
                TorchModel.one_by_one = lambda self, device, alone=alone: alone  # type: ignore[method-assign]
                how = f"{name}, {'one by one' if alone else 'together'}, {'careful' if careful else 'tf32, any order'}"
                try:
                    seconds, memory = timed(name, careful=careful)
                    found[how] = {"seconds": seconds, "memory": memory}
                    print(f"{how}: {1e3 * seconds:.1f} ms a round, {memory / 2**30:.2f} GiB", flush=True)
                except RuntimeError as problem:
                    print(f"{how}: {problem}"[:300], flush=True)
    TorchModel.one_by_one = usual  # type: ignore[method-assign]
    return found


def resnet() -> dict[str, Any]:
    """Learn with twice as many ResNet-18 nodes again and again, until memory ends."""
    found: dict[str, Any] = {}
    nodes = 32
    while nodes <= 2048:
        sized = (
            f"partition.clients={nodes}",
            f"data.samples={nodes * 10}",
            "learning.local_steps=1",
            "learning.sampling.batch=8",
        )
        try:
            seconds, memory = timed("resnet18", *sized, rounds=1)
        except torch.OutOfMemoryError as problem:
            print(f"{nodes} nodes: {problem}"[:300])
            break
        found[str(nodes)] = {"seconds": seconds, "memory": memory}
        print(f"{nodes} ResNet-18 nodes: {seconds:.2f} s a round, {memory / 2**30:.1f} GiB", flush=True)
        nodes *= 2
    return found


if __name__ == "__main__":
    work, out = sys.argv[1], Path(sys.argv[2])
    result = {"machine": machine, "same": same, "ways": ways, "resnet": resnet}[work]()
    (out / f"{work}.json").write_text(json.dumps(result, indent=1), "utf-8")
