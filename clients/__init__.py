"""What one client does: its data, model, objective and local descent, and the unlearning methods."""
