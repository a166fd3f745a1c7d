"""What a run means: statistics, verdict, charts, and the report that holds them."""
