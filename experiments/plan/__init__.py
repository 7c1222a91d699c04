"""Plans: what forgetting would take, client by client, without learning anything."""
