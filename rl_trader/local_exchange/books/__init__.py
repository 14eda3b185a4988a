"""The local exchange's books: accounts of USD-M perpetual futures, kept in decimal arithmetic.

The books are written from the exchange's documents and share no line with the compiled account of the replay, so that
the two can witness against each other. There is no clock in them, no input or output, no randomness and no state
beyond the :class:`~rl_trader.local_exchange.books.account.Account` that a caller holds.

``money`` has the arithmetic, ``terms`` what the exchange demands of a symbol, ``income`` what moves a wallet.
``account`` is a wallet with its positions, ``liquidation`` where and how they are taken away, ``checks`` and ``prices``
say what an order is refused for and where it fills. ``bar`` plays one bar against an account: its order (``at_open``),
then the path of its prices (``walk``).
"""
