"""The exchange's streams of market and account, and the gapless bars that are made of them."""
