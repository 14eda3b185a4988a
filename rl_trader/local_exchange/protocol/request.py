"""What travels: a request as a shell hands it in, and the response that it takes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, or one that never saw a socket.

    Nothing in it is decoded, since signatures are of the text as it was sent.
    """

    method: str  # GET, POST, PUT, DELETE
    path: str
    query: str = ""  # without the question mark; bytes that are no UTF-8 are surrogate escapes
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    address: str = "127.0.0.1"  # of the caller


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back."""

    status: int
    headers: Mapping[str, str]  # names as the exchange writes them
    body: bytes  # JSON, UTF-8
