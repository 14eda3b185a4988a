"""Streams: what subscribers are told of the market and of their accounts, and how they say what they want to hear."""
