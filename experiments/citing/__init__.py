"""Looks up works at doi.org and arXiv, for the references of a study."""
