"""Charts: their frames, how they are drawn, and what is said below them."""
