"""Answers of systems: waiting, keys, prices, ratings, and their comparison."""
