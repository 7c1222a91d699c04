"""The verifier: every certificate of a run, derived again from its records."""
