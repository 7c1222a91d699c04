"""Views: which noised vectors an observer sees, and how far apart two runs are for it."""
