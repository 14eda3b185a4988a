"""Agents on known-answer markets: trained, scored in percent of the optimum, and drawn beside it."""
