"""Scripts that run in a peer's interpreter, each by its path: they import the peer and their neighbours here alone."""
