"""Certificates to hand over: one JSON file without secrets, which can be checked by itself."""
