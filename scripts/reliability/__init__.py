"""Chaos: people, workers and Redis under faults, and a judge who was told only what the people did and saw."""
