"""Scenarios: read and check YAML files, and build the networks that they describe."""
