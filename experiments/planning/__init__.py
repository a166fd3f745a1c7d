"""What can be measured: the matrix, its cells on a cluster, and what they lack, take and cost."""
