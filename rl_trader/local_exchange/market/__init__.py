"""The market of the local exchange: it replays recorded klines into the engine, and knows what has happened so far.

``recording`` is what is recorded of a symbol, ``path`` and ``amounts`` are what is assumed within a bar, ``replay``
plays it (``playing`` one symbol), ``candles`` and ``history`` answer about the past, ``market`` joins them for the
endpoints.
"""
