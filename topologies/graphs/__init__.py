"""Graphs: which nodes are linked."""
