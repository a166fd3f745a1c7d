"""References: what a report draws on, cited where it is used and listed at its end."""

from analysis.references.shipped import bibtex, reference
from analysis.references.used import used, used_in, with_numbers, with_references

__all__ = ["bibtex", "reference", "used", "used_in", "with_numbers", "with_references"]
