"""Find settings that keep accuracy at a wanted ε and cost, on public or synthetic data alone: `rewindnet tune`."""
