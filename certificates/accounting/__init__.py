"""Privacy accounting: the Gaussian mechanism and Rényi divergences."""
