"""Words, numbers and sentences as a report writes them."""
