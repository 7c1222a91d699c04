"""Networks of neural networks: models without proven constants, learned by every client."""
