"""What endpoints do with orders, by their names in both APIs."""

from typing import Final

PLACING: Final = frozenset(
    {
        "POST /fapi/v1/order",
        "POST /fapi/v1/batchOrders",
        "POST /fapi/v1/algoOrder",
        "order.place",
        "algoOrder.place",
    }
)
CHANGING: Final = frozenset({"PUT /fapi/v1/order", "PUT /fapi/v1/batchOrders", "order.modify"})
CANCELLING: Final = frozenset(
    {"DELETE /fapi/v1/order", "DELETE /fapi/v1/algoOrder", "order.cancel", "algoOrder.cancel"}
)
ASKING: Final = frozenset({"GET /fapi/v1/order", "GET /fapi/v1/openOrder", "GET /fapi/v1/algoOrder", "order.status"})
LISTING: Final = frozenset(
    {
        "GET /fapi/v1/openOrders",
        "GET /fapi/v1/allOrders",
        "GET /fapi/v1/openAlgoOrders",
        "GET /fapi/v1/allAlgoOrders",
    }
)
KLINES: Final = frozenset({"GET /fapi/v1/klines", "GET /fapi/v1/continuousKlines"})
