"""Audits: measured divergences and samples of the noise, held against a certificate."""
