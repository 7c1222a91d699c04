"""Sensitivity: bounds on the divergence of two coupled runs at every node."""
