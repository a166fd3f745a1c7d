"""Languages: the one in force, its catalogue, and the particle that follows a name in Korean."""
