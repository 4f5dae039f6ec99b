"""Real parts for tests: Valkey, worker processes, a balancer, and clients that keep their view as a browser does."""
