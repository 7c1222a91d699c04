"""Studies: several runs, and measurements over many draws."""
