"""The words of ASGI (specification 3.0) in which the parts of this room talk to each other."""

from __future__ import annotations

from typing import Any

from shipway.serving.http.asgi import AsgiApp, Receive, Scope, Send

__all__ = ["AsgiApp", "Message", "Receive", "Scope", "Send"]

Message = dict[str, Any]
