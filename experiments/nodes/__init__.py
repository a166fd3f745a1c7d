"""The way to nodes, and what is asked of them there."""
