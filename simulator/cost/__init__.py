"""What a run costs: counted gradients, rounds, messages and bytes, and time on a modelled network."""
