"""Sensitivity: how far two coupled runs can lie apart at every node."""
