"""Plans: compute the noise, ε and cost of unlearning for each client, without training."""
