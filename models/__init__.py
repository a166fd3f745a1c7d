"""What runs on the cluster: the catalogue of models, their download, and every engine's format."""
