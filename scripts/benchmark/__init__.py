"""What the server costs, measured beside a plain Starlette WebSocket endpoint and, if wanted, an older checkout.

Absolute figures belong to one machine and one hour; what can be compared is ratios to a side whose phases run a moment
before or after the server's on the same machine. Run it by `scripts/bench`; needs Linux.
"""
