"""How steady machines and figures were over the run."""
