"""Transports: they run the clients of a job and carry their messages."""
