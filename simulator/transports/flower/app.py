"""The Flower app that the SuperLink and the SuperNodes of a deployment run.

Both halves find in the run config which job they work on: how to open it, and its description.
"""

from functools import cache, lru_cache

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from rewindnet.clients.worker import ClientWorker
from rewindnet.simulator.errors import TransportError
from rewindnet.simulator.transports.base import Job, open_job
from rewindnet.simulator.transports.flower.client import make_app
from rewindnet.simulator.transports.flower.network import FlowerNetwork

#: The functions that may open the job of a run config: the author of a run does not choose what is called.
OPENERS = tuple(
    f"rewindnet.experiments.{place}"
    for place in ("runs.job:open_job", "runs.job:open_scenario", "bench.rounds:open_job")
)


def app_for(opener: str, description: str) -> ClientApp:
    """Return the ClientApp of a job that other processes open for themselves."""

    def own_worker(context: Context) -> ClientWorker:
        return _worker(opener, description, int(context.node_config["partition-id"]))

    return make_app(own_worker)


@lru_cache
def _opened(opener: str, description: str) -> Job:
    return open_job(opener, description)


@cache
def _worker(opener: str, description: str, node: int) -> ClientWorker:
    return _opened(opener, description).worker((node,))


def _configured(context: Context) -> tuple[str, str]:
    opener = str(context.run_config["opener"])
    if opener not in OPENERS:
        raise TransportError(f"the run config names the opener {opener!r}; a job is opened by: {', '.join(OPENERS)}")
    return opener, str(context.run_config["description"])


def _own_worker(context: Context) -> ClientWorker:
    return _worker(*_configured(context), int(context.node_config["partition-id"]))


client = make_app(_own_worker)
server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Run the job of the run config on the clients that have joined."""
    job = _opened(*_configured(context))
    job.run(FlowerNetwork(grid, job.nodes))
