"""Everything that is asked with the key of an account."""

from typing import Final

from rl_trader.local_exchange.endpoints.account import BALANCE_ENDPOINTS, BALANCE_METHODS
from rl_trader.local_exchange.endpoints.algo_orders import ALGO_ENDPOINTS, ALGO_METHODS
from rl_trader.local_exchange.endpoints.batches import BATCH_ENDPOINTS
from rl_trader.local_exchange.endpoints.history import HISTORY_ENDPOINTS
from rl_trader.local_exchange.endpoints.orders import ORDER_ENDPOINTS, ORDER_METHODS
from rl_trader.local_exchange.endpoints.settings import SETTING_ENDPOINTS
from rl_trader.local_exchange.protocol.endpoint import Endpoint

TRADING_ENDPOINTS: Final[tuple[Endpoint, ...]] = (*ORDER_ENDPOINTS, *BATCH_ENDPOINTS, *ALGO_ENDPOINTS)
ACCOUNT_ENDPOINTS: Final[tuple[Endpoint, ...]] = (*BALANCE_ENDPOINTS, *HISTORY_ENDPOINTS, *SETTING_ENDPOINTS)
PRIVATE_ENDPOINTS: Final[tuple[Endpoint, ...]] = (*TRADING_ENDPOINTS, *ACCOUNT_ENDPOINTS)
PRIVATE_METHODS: Final[tuple[Endpoint, ...]] = (  # of the WebSocket API
    *ORDER_METHODS,
    *ALGO_METHODS,
    *BALANCE_METHODS,
)
