"""What may go wrong between workers and Redis: schedules on a real Valkey, by a clock of the tests' own.

Each test is named after the rule that keeps its schedule from doing harm, and fails without it. Workers are real, each
with an event loop and a network of its own; only people, time and the network are the test's (`world`). What is never
allowed, and what must hold in the end, the `oracle` says, for all of them alike.
"""
