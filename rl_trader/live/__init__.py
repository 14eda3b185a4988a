"""The live trader: it deploys a checkpoint on a local exchange (paper), on the exchange's demo, or for real."""
