"""A bundle and a contract become an image, as pure edits of a base; no daemon is needed."""
