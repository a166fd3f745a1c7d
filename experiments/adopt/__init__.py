"""From machines that answer to SSH to an inventory of nodes: `fab adopt`."""
