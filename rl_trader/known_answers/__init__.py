"""Markets whose best policy is known: made price, mark-price and funding series, and their exact optimum.

``markets`` defines them, ``rows`` lists the ones that are scored by name, ``series`` makes their bars.
"""
