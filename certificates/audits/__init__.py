"""Audits: comparisons of a certificate with measured divergences and with samples of the noise."""
