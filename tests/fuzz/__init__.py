"""Random and malformed requests against the whole local exchange: ``python -m tests.fuzz --requests 100000``."""
