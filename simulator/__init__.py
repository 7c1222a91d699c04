"""The simulated network: the round loop, trajectories with checkpoints, cost, and the transports."""
