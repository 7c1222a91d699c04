"""The network that runs it: the round loop, trajectories with checkpoints, cost, and the transports."""
