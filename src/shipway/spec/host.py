"""Hosts: which of them is this machine."""

from __future__ import annotations

import ipaddress

__all__ = ["is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine: `localhost`, or a loopback address.

    A name below `localhost` is not taken for it: RFC 6761 wants it to be, and not every resolver keeps to that.
    """
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host
    if name.count(":") == 1:
        name = name.partition(":")[0]
    try:
        return name.lower() == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
