"""The engine: requests in, columns out. No word of HTTP in it."""
