"""What `fab tune` found: the best setting of an engine against its default, and the page of it."""
