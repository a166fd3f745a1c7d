"""Cells of a run and what was measured in them: series, comparisons, tables, traffic, energy."""
