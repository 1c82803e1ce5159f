"""A cluster's plain HTTP API: kubeconfig, signing in, requests and what their refusals mean."""
