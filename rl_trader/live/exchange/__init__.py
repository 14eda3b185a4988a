"""The exchange over REST: where it is, what is asked, what an answer means, how much may be asked."""
