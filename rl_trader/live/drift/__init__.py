"""How far live trading is from the simulation: what is kept for it, the comparison, the watch, the report."""
