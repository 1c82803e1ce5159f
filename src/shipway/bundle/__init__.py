"""Pack, read, check and store bundles."""
