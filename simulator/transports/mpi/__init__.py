"""Clients divided among the ranks of an MPI job."""
