"""Proves that every form of a tuned model is the same, and measures what training changed."""
