"""Measures of a model: accuracy, membership attacks, KLoM."""
