"""Clients: their data, models, objectives and local descent, and the unlearning methods."""
