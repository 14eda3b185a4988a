"""What the exchange does not have: the keys of the accounts, told to whoever asks on this machine.

They protect nothing and are worth nothing, and are printed when the local exchange is started. Who trades on paper need
not copy them.
"""

from typing import Final

from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint


def _keys(call: Call) -> object:
    return [{"account": key.account, "apiKey": key.key, "secret": key.secret} for key in call.venue.keys.values()]


OWN_KEYS_ENDPOINTS: Final = (Endpoint(method="GET", path="/local/v1/keys", answer=_keys, weight=0),)
