"""Charts: their data frames, how they are drawn, and the text below them."""
