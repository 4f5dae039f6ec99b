"""A Redis or Valkey Cluster: which node has which slot, commands and subscriptions by node."""
