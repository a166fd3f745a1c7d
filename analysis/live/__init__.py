"""A run while it is measured: what is known of it now, and the page that shows it."""
