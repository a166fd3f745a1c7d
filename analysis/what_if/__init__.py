"""What a token would take in a setting that was not measured, by a fit of the cost model."""
