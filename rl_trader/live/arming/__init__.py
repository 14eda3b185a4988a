"""How a person lets the trader trade for real."""
