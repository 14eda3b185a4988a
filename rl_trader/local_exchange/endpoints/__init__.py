"""The answers of the local exchange: functions from a call to plain data, and the endpoints that they belong to.

Those in :mod:`rl_trader.local_exchange.endpoints.public` need no account.
"""
