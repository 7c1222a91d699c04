"""Graphs: deterministic and random families, and their edges."""
