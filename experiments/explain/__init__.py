"""Unlearning in graph networks and the verification of it: the command `rewindnet explain`.

The flow: a scenario names a graph, a model, what one client deletes, methods and verifiers. The clients learn one model
of all nodes; the deleted nodes are training nodes of that client. One model is learned again without them, the
reference. Each method unlearns from the learned model. A snapshot of a model on a graph is its log-probabilities and
the saliency of every node, under node numbers that no deletion changes. Verifiers compare snapshots: before and after,
on the graph that a method leaves and on the graph as it was, and of the reference. They give numbers for the whole
network, and means for the nodes of each client by their distance from the deleted ones. All of it is written as JSON,
Markdown and a page. Nothing is certified.
"""
