"""Planning: the noise that certificates take, computed before anything is learned."""
