"""The cost of a run: counted gradients, rounds, messages and bytes, and time on a modelled network."""
