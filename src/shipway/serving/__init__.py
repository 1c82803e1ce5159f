"""The server: fronts and protocols around one engine."""
