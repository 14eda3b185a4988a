"""Two witnesses of one account: the replay kernel (binary fractions) and the books (decimals) play the same bars.

``cases`` draws contracts, conduct, bars and orders at random; ``witnesses`` lets each side play them; ``comparison``
compares every booking; ``run`` plays many cases and counts.
"""
