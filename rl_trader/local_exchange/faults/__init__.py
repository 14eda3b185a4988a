"""Faults as data: a plan says what goes wrong and when, and the shells let it happen; the engine knows nothing of it."""
