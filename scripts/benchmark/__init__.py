"""What the server costs, measured beside a plain Starlette WebSocket endpoint in the same run.

Absolute figures belong to one machine and one hour; the ratio to the plain endpoint, whose phases run a moment before
or after the server's on the same machine, is what can be compared. Run it by `scripts/bench`; needs Linux.
"""
