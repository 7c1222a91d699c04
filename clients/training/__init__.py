"""Local training: the data of clients, their local steps, their minibatches and their noise."""
