"""Views: the μ of what an observer sees, light cones, and the allocation of noise among the nodes."""
