"""Web apps: somebody's WSGI or ASGI object behind our front, its answers byte for byte its own."""
