"""The run folder: how it is written, resumed and read."""
