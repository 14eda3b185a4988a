"""The engine: orders, matching, conditional orders, liquidation, funding. No clock, no input or output, no chance."""
