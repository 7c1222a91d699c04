"""Running a scenario."""
