"""Clients of a Shipway server."""
