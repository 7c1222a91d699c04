"""Graph networks: data whose samples are nodes of a graph, models that pass messages, unlearning, and its verification.

Each client holds a community of nodes, and all learn one model with full batches: the sum of what the clients compute
is what one machine computes that holds the whole graph, so the simulator computes that. Edges between communities are
messages between clients. Nothing here is certified.
"""
