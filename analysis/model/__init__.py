"""Models of what was measured: laws with few numbers, fitted with their uncertainty."""
