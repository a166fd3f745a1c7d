"""What a run says in the end, and what must be known before it is quoted."""
