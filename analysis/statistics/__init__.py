"""Figures of samples: means, intervals, agreement of raters, drift."""
