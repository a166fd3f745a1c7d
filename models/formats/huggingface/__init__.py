"""Directories of Hugging Face: safetensors, settings and vocabularies."""
