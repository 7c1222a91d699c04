"""What `test_mpi_wire.py` has an MPI job do that is to fail: rank 1 raises in the middle, or says whom to kill."""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from mpi4py import MPI
from scipy.sparse import csr_array

from rewindnet.simulator.transports.mpi.wire import Ranks

W = csr_array(np.full((6, 6), 1 / 6))


def main(how: str, where: Path) -> None:
    wire, rank = Ranks(W, "fast"), MPI.COMM_WORLD.Get_rank()
    own = torch.ones(len(wire.nodes), 8)
    for round in range(1_000_000):
        own = wire.mix(own, W)
        if rank == 1 and round == 10:
            if how == "raise":
                raise RuntimeError("rank 1 fails")
            (where / "new").write_text(str(os.getpid()))
            (where / "new").rename(where / "pid")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
