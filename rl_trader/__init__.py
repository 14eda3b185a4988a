"""The market and the money of Binance USD-M perpetual futures; no reinforcement learning."""
