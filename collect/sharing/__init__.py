"""Runs that are sent to others and taken from others: one archive, without names of machines."""
