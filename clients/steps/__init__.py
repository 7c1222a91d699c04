"""The steps that learning and unlearning are made of."""
