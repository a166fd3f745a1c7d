"""Who the machines are: the inventory, the lab, and the commands that name them."""
