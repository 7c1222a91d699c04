"""What one client computes: its data, its local steps, its minibatches and its noise."""
