"""How steps per second grow or fall with accounts, bars, features, windows and symbols."""
