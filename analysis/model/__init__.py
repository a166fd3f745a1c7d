"""Models of what was measured, fitted with their uncertainty: laws, and where time goes."""
