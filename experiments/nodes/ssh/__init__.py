"""OpenSSH, called as Ansible calls it: one process a node, and what its words mean."""
