"""Faults as data: a plan says what goes wrong and when, the shells let it happen, the engine knows nothing."""
