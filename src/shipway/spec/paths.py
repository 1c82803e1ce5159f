"""The paths of a server for those who watch it, not for those who ask it: decided once, and answered in every form."""

from __future__ import annotations

__all__ = ["LIVE", "METRICS", "OPERATIONS", "READY", "V2_LIVE", "V2_READY"]

# Some clouds swallow paths that end in z, hence the aliases.
LIVE = ("/livez", "/healthz", "/health/live")
READY = ("/readyz", "/health/ready")
METRICS = "/metrics"

OPERATIONS = (*LIVE, *READY, METRICS)
"""Those that an app may answer in the server's place."""

V2_LIVE, V2_READY = "/v2/health/live", "/v2/health/ready"
"""The same in the Open Inference Protocol."""
