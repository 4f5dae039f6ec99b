"""The private Valkey of a server that was given no Redis; apart from the rest of the store, which only sees its URL."""

from presence_server.store.embedded.valkey import EmbeddedValkey

__all__ = ["EmbeddedValkey"]
