"""An issuer of tokens with public keys: it serves a JWKS document and signs."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.support.tokens import mint


class Issuer:
    """Keys for RS256, ES256 and EdDSA, their public parts at `url`.

    Attributes:
        answering: False makes the key set a 503.
        requests: how often it was asked for.
    """

    def __init__(self) -> None:
        self.answering = True
        self.requests = 0
        self._keys: dict[str, Any] = {}
        self._published: list[dict[str, Any]] = []
        self.add_key("RS256", "rsa-1")
        self.add_key("ES256", "ec-1")
        self.add_key("EdDSA", "ed-1")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def add_key(self, algorithm: str, key_id: str) -> None:
        """Make a key and publish it, as an issuer does that changes its keys."""
        key: Any
        match algorithm:
            case "RS256":
                key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
                public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            case "ES256":
                key = ec.generate_private_key(ec.SECP256R1())
                public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
            case _:
                key = ed25519.Ed25519PrivateKey.generate()
                public = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
        self._keys[key_id] = key
        self._published.append({**public, "kid": key_id, "alg": algorithm, "use": "sig"})

    def sign(self, user: str, teams: Sequence[str], algorithm: str, key_id: str, **claims: Any) -> str:
        """A token signed with a published key."""
        headers = {"kid": key_id}
        return mint(user, teams, secret=self._keys[key_id], algorithm=algorithm, headers=headers, **claims)

    def public_pem(self, key_id: str) -> bytes:
        """The public key as text: what an attacker would use as an HMAC secret."""
        public = self._keys[key_id].public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return bytes(pem)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests += 1
                body = json.dumps({"keys": issuer._published}).encode()
                self.send_response(200 if issuer.answering else 503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Keep the test's output free of access logs."""

        return Handler
