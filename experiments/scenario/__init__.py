"""Scenarios: YAML files, resolved and checked, and the networks that they describe."""
