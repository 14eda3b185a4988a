"""Parity: an episode in the replay, and the same orders over the API of the local exchange in lock-step.

What is compared at every bar's close: each booking by kind and amount, the wallet, the position with its entry price
and margin, and what an order was refused for; once a day what ``GET /fapi/v1/income`` answers. The client sends the
orders of the decisions, market orders with the reducing leg first.
"""
