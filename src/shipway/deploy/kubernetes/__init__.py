"""Kubernetes: release -> objects (pure), and what happens to them on a cluster, through its plain HTTP API."""
