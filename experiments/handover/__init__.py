"""Certificates to hand over: exporting, signing and checking their files, and printing them as a page."""
