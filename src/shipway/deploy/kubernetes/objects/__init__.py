"""A release as objects: pure, and each part with its reason."""
