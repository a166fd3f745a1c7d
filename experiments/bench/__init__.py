"""What the toolkit costs beside what it measures."""
