"""A user's research log: a Markdown file that people and `fab log` write by turns."""
