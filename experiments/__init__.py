"""Experiments: scenarios, the command line, runs, plans, sweeps, run folders, verification and reports."""
