"""Learning written out in plain numpy, a node at a time."""

import numpy as np
from networks import Network
from numpy.typing import NDArray

from rewindnet.clients.worker import ClientWorker
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.transports.in_process import WorkerNetwork

Array = NDArray[np.float64]


def worker(simulation: Simulation) -> ClientWorker:
    assert isinstance(simulation.network, WorkerNetwork)
    return simulation.network.worker


def numpy_learning(case: Network, retained: bool) -> list[Array]:
    """The same network, a node at a time, in plain numpy: multinomial logistic regression."""
    simulation = case.simulation()
    block = worker(simulation).blocks[int(retained)]
    model = block.model
    known = simulation.training_run
    mixing = known.mixing if retained or known.mixing_before is None else known.mixing_before
    sampling = block.local_training.sampling
    data: dict[int, tuple[Array, NDArray[np.int64], Array]] = {}
    for bucket in block.buckets:
        for k, row in enumerate(bucket.rows.tolist()):
            data[row] = (bucket.x[k].double().numpy(), bucket.y[k].numpy(), bucket.weight[k].double().numpy())

    def ball(theta: Array) -> Array:
        norm = np.linalg.norm(theta)
        return theta if case.radius is None or norm <= case.radius else theta * (case.radius / norm)

    def descend(t: int, i: int, theta: Array) -> Array:
        participating = mixing.participating(t)
        if participating is not None and not participating[i]:
            return theta
        x, y, weight = data[i]
        for step in range(case.local_steps):
            if sampling is not None:
                n = case.sizes[i]
                drawn = np.zeros(len(y))
                drawn[:n] = sampling.masks(t, i, n)[step]
                weight = drawn * (data[i][2] > 0) / sampling.size(n)
            matrix = theta.reshape(3, -1)
            scores = x @ matrix.T
            p = np.exp(scores - scores.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            p[np.arange(len(y)), y] -= 1
            theta = theta - block.step_size * ((p * weight[:, None]).T @ x + model.l2 * matrix).ravel()
        return theta

    def together(t: int, theta: Array) -> Array:
        return np.stack([descend(t, i, theta[i]) for i in range(case.nodes)])

    theta = np.zeros((case.nodes, model.parameters))
    trajectory = [theta]
    for t in range(case.rounds):
        W = mixing.matrix(t).toarray()
        if case.order == "adapt-then-combine":
            theta = W @ np.stack([ball(row) for row in together(t, theta)])
        elif case.order == "combine-then-adapt":
            theta = np.stack([ball(row) for row in together(t, W @ theta)])
        else:
            theta = np.stack([ball(row) for row in W @ theta + together(t, theta) - theta])
        trajectory.append(theta)
    return trajectory
