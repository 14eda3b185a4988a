"""Signatures: HMAC-SHA256 over what was sent.

REST: the query string directly followed by the body, with nothing between them and without the signature itself, as
they were sent, that is percent-encoded. The WebSocket API: all parameters but the signature, sorted by name. Source:
the API documentation of USD-M futures, "General Info" and "WebSocket API General Info" (read in autumn 2026), where
the signature has to be the last parameter; here it is taken out wherever it stands.
"""

import hmac
from collections.abc import Mapping
from typing import Final

_PREFIX: Final = b"signature="


def signed_text(query: str, body: bytes) -> bytes:
    """Return what the signature of a REST request is of.

    Raises:
        UnicodeEncodeError: If the query has characters that no address can have.
    """
    text = query.encode("utf-8", "surrogateescape")
    return _without_signature(text) + _without_signature(body)


def sorted_text(texts: Mapping[str, str]) -> bytes:
    """Return what the signature of a request of the WebSocket API is of, from its parameters as texts."""
    return "&".join(f"{name}={texts[name]}" for name in sorted(texts) if name != "signature").encode()


def signature_of(secret: str, text: bytes) -> str:
    """Return the signature, 64 hexadecimal digits."""
    return hmac.digest(secret.encode(), text, "sha256").hex()


def is_signed(secret: str, text: bytes, signature: str) -> bool:
    """Return whether the signature is the text's, in upper or lower case, in a time that does not tell how nearly."""
    return hmac.compare_digest(signature_of(secret, text).encode(), signature.lower().encode("utf-8", "replace"))


def _without_signature(part: bytes) -> bytes:
    if _PREFIX not in part:
        return part
    return b"&".join(piece for piece in part.split(b"&") if not piece.startswith(_PREFIX))
