"""What limits each engine and model, what it is good at, and what would help."""
