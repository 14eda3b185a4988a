"""The live trader's figures: from a bar's close to an order, what is noticed when, and how soon it is at work again."""
