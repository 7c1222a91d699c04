"""Run scenarios: build a run, execute it, and measure, certify and audit its releases."""
