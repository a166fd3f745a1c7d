"""`fab probe`: what nodes and links can do, measured without any engine."""
