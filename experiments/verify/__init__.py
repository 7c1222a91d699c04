"""Verify runs: derive every certificate again from the records of the run folder."""
