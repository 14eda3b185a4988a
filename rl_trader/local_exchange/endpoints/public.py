"""Everything that may be asked without an account."""

from typing import Final

from rl_trader.local_exchange.endpoints.exchange_info import EXCHANGE_INFO_ENDPOINTS
from rl_trader.local_exchange.endpoints.funding import FUNDING_ENDPOINTS
from rl_trader.local_exchange.endpoints.klines import KLINE_ENDPOINTS
from rl_trader.local_exchange.endpoints.market_data import MARKET_DATA_ENDPOINTS, MARKET_DATA_METHODS
from rl_trader.local_exchange.endpoints.tickers import TICKER_ENDPOINTS, TICKER_METHODS
from rl_trader.local_exchange.protocol.endpoint import Endpoint

PUBLIC_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *EXCHANGE_INFO_ENDPOINTS,
    *MARKET_DATA_ENDPOINTS,
    *KLINE_ENDPOINTS,
    *TICKER_ENDPOINTS,
    *FUNDING_ENDPOINTS,
)
PUBLIC_METHODS: Final[tuple[Endpoint, ...]] = (*MARKET_DATA_METHODS, *TICKER_METHODS)  # of the WebSocket API
