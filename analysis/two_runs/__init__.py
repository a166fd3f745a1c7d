"""Two runs compared: a baseline and a contender."""
