"""What a person sees of the live trader, and how a person stops it. The core knows nothing of it."""
