"""Shells: sockets, threads and clocks around the protocol, which has none of them."""
