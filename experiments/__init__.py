"""What a person asks for: scenarios, the command line, sweeps, run folders, the table, the report."""
