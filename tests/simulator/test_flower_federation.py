"""A federation that was started by hand runs a scenario by `flwr run`, as docs/how-to/federation.md says."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import parity
import pytest
import yaml

from rewindnet.experiments.folder.format import is_complete
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.transports.flower.deployment import free_ports
from rewindnet.simulator.transports.flower.environment import QUIET

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/federation.md").read_text(encoding="utf-8")
APP = re.search(r"```toml title=\"pyproject.toml\"\n(.*?)```", PAGE, flags=re.DOTALL)[1]  # type: ignore[index]
BESIDE = Path(sys.executable).parent
SCENARIO = {
    "name": "federation",
    "data": {"source": "synthetic", "samples": 60, "dimensions": 3},
    "partition": {"clients": 2},
    "topology": "path",
    "learning": {"rounds": 3},
    "deletion": {"client": 1, "samples": 3},
    "unlearning": [{"method": "r2d", "rewind": 0.5}],
}

pytestmark = [pytest.mark.slow, pytest.mark.deployment]


@contextmanager
def federation(folder: Path, clients: int) -> Iterator[dict[str, str]]:
    """A SuperLink, SuperNodes and their clients on loopback, without TLS; yields the environment for `flwr`."""
    link, *nodes = free_ports(clients + 1)
    (folder / "home").mkdir()
    connection = f'[superlink]\ndefault = "hand"\n\n[superlink.hand]\naddress = "127.0.0.1:{link}"\ninsecure = true\n'
    (folder / "home" / "config.toml").write_text(connection)
    # A SuperLink starts programs of its own, which it looks for on the path.
    path = f"{BESIDE}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **parity.environment(),
        **QUIET,
        "FLWR_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
        "PATH": path,
    }
    commands = [[str(BESIDE / "flower-superlink"), "--insecure", "--port", str(link)]]
    for node, port in enumerate(nodes):
        place = f"--insecure --superlink 127.0.0.1:{link} --isolation process --port {port} --node-config"
        commands.append([str(BESIDE / "flower-supernode"), *place.split(), f"partition-id={node}"])
        module = "rewindnet.simulator.transports.flower.client_process"
        commands.append([sys.executable, "-m", module, f"127.0.0.1:{port}", "--insecure"])
    with ExitStack() as stack:
        for at, command in enumerate(commands):
            log = stack.enter_context((folder / f"{at}.log").open("w"))
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
            stack.callback(process.wait)
            stack.callback(process.kill if at else process.terminate)
        parity.wait_for(lambda: answers(link), seconds=300)
        yield environment


def answers(port: int) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return response.status == 200
    except (URLError, OSError):
        return False


def test_the_app_of_the_page_runs_on_a_federation_started_by_hand(tmp_path: Path) -> None:
    assert tomllib.loads(APP)["tool"]["flwr"]["app"]["config"]["description"] == "hospitals.yaml"
    (tmp_path / "pyproject.toml").write_text(APP)
    scenario = parity.exact(SCENARIO)
    (tmp_path / "federation.yaml").write_text(yaml.safe_dump(scenario))
    with federation(tmp_path, 2) as environment:
        command = [str(BESIDE / "flwr"), "run", ".", "hand", "--run-config", 'description="federation.yaml"']
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        found = tmp_path / "runs" / "federation"
        parity.wait_for(lambda: is_complete(found), seconds=900)
    findings = verify_folder(found)
    assert findings
    assert all(finding.holds for finding in findings)
    parity.through(tmp_path / "federation.yaml", tmp_path / "one", *parity.IN_PROCESS)
    hashes = [json.loads((place / "record.json").read_text())["weights_sha256"] for place in (found, tmp_path / "one")]
    assert hashes[0] == hashes[1]
