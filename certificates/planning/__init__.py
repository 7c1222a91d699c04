"""Planning: the noise that requests would need and what it would do to the models, computed before any run."""
