"""Studies: sweeps over several runs, and measurements over many draws of the noise."""
