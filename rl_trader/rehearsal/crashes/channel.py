"""Messages between the process that is killed and the one that lives on: a JSON object a line, over a socket.

What a process has written before it is killed arrives whole; a line that it had not ended is as if it was never sent.
"""

import json
import socket
from typing import Any, Final

Message = dict[str, Any]

_LINE_END: Final = b"\n"


class Channel:
    """One end.

    Args:
        end: Of a pair of sockets.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._lines = end.makefile("rb")

    def send(self, message: Message) -> None:
        """Send a message."""
        self._socket.sendall(_line(message))

    def send_half(self, message: Message) -> None:
        """Send the first half of a message's bytes."""
        line = _line(message)
        self._socket.sendall(line[: len(line) // 2])

    def receive(self) -> Message | None:
        """Wait for a message, and return it; None once the other end is gone."""
        try:
            line = self._lines.readline()
        except ConnectionError:
            return None
        if not line.endswith(_LINE_END):
            return None
        message: Message = json.loads(line)
        return message

    def close(self) -> None:
        """Close this end."""
        self._lines.close()
        self._socket.close()


def _line(message: Message) -> bytes:
    return json.dumps(message).encode() + _LINE_END
