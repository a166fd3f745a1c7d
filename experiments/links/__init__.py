"""Links of the lab's nodes as an axis of a matrix: their rate and their delay."""
