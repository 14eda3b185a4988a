"""A local exchange: the USD-M futures API on loopback, REST and WebSocket, with its own books.

Layers, each of which knows only those before it: ``books`` are accounts in decimal arithmetic; ``engine`` has orders,
matching, conditional orders and liquidation, and neither a clock nor input or output; ``market`` replays a recording
into it; ``protocol`` is the API's form: signatures, parameters, limits, errors; ``endpoints`` answer requests;
``streams`` push messages; ``shells`` are sockets, clocks and faults.
"""
