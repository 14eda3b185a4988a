"""A counter-based generator: a draw is a pure function of (key, episode, draw).

Account ``i`` of a vector environment that was reset with seed ``s`` has the key ``s + i``, so that it is the single
environment reset with ``s + i``, whatever the number of accounts or threads. No state is kept between draws.

Construction: every 32-bit word is absorbed by an xor and a multiply-xorshift round with the constants of MurmurHash3's
32-bit finaliser (A. Appleby, public domain). 32-bit words keep compiled code and plain Python equal.
"""

from typing import Final

from rl_trader.kernels import kernel

MASK: Final = 0xFFFFFFFF
MULTIPLIER_1: Final = 0x85EBCA6B
MULTIPLIER_2: Final = 0xC2B2AE35
INCREMENT: Final = 0x9E3779B9
TWO_TO_MINUS_32: Final = 2.0**-32


@kernel
def _absorb(state: int, word: int) -> int:
    state = (state + INCREMENT) & MASK ^ int(word) & MASK  # in plain Python a NumPy word would overflow below
    state = ((state ^ state >> 16) * MULTIPLIER_1) & MASK
    state = ((state ^ state >> 13) * MULTIPLIER_2) & MASK
    return state ^ state >> 16


@kernel
def uniform(key: int, episode: int, draw: int) -> float:
    """Return a number in [0, 1) with 32 random bits.

    Args:
        key: Of the account, not negative.
        episode: Of the account, from 0.
        draw: Which draw of the episode.
    """
    state = _absorb(_absorb(0, key), key >> 32)
    state = _absorb(_absorb(state, episode), draw)
    return _absorb(state, INCREMENT) * TWO_TO_MINUS_32
