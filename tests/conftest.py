"""How hard tests with drawn cases try, by profile (`--hypothesis-profile`); `drawn.examples` scales each test's number.

`dev`, the default, draws other cases every time; `ci` draws the same ones, so that two runs test the same; `nightly`
draws many.
"""

import os
import signal

import pytest
from drawn import BASE
from hypothesis import HealthCheck, settings

# The workers of pytest share the processors among them: a second thread of torch or of BLAS, which waits by spinning,
# would only take time from the others. Child processes inherit this, and runs use one thread of torch anyway.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background has them ignore interrupts, and nohup has them ignore that a terminal
# closes; their child processes would, too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Hypothesis derandomises every profile by itself where it sees the variables of a continuous integration.
_COMMON = settings(deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", _COMMON, max_examples=BASE)
settings.register_profile("ci", _COMMON, max_examples=BASE, derandomize=True)
settings.register_profile("nightly", _COMMON, max_examples=2_000)
settings.load_profile("dev")


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk():
    """Waiting for the disk at every file would take half of the time of the tests of runs; no test cuts the power."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _features_of_tests(tmp_path_factory):
    """What tests keep on disk to compute it only once is theirs, and not the user's."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("REWINDNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def run_once(tmp_path_factory):
    """Runs of scenarios as `runs.SharedRuns` makes them: each once in the session, whatever tests and workers ask."""
    from runs import SharedRuns

    base = tmp_path_factory.getbasetemp()
    place = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return SharedRuns(place / "shared-runs", lambda: tmp_path_factory.mktemp("run"))
