"""Release -> a compose.yaml for `docker compose` and `podman compose`, with the reason for each part beside it.

Source of what stands in it: the Compose Specification (https://github.com/compose-spec/compose-spec). It is what
`shipway deploy --to docker` makes, written down, but for one thing that Compose cannot do: replace servers without
losing a call. Compose ends the old server before it starts the new one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePosixPath

from shipway.deploy.docker.words import address, environment_of
from shipway.deploy.yaml import Commented, Document
from shipway.spec.contract import Contract
from shipway.spec.image import ImageReference
from shipway.spec.release import Release
from shipway.spec.settings import Docker

__all__ = ["render"]

_KEYS = "/run/secrets/keys"
_SERVER = "server"
# On the PATH of every base that Shipway takes. The image's own command names it whole, but rendering asks no image.
_PYTHON = "python3"


def render(release: Release, options: Docker) -> Mapping[str, Document]:
    """Gives `compose.yaml`.

    Raises:
        UsageError: the server's settings are none.
    """
    many = options.replicas > 1
    services: dict[str, Document] = {_SERVER: _server(release, options, published=not many)}
    if many:
        services["relay"] = Commented(
            "Has the port, and spreads connections evenly over the servers that are ready.", _relay(release, options)
        )
    document: dict[str, Document] = {
        "name": Commented("The project: Compose puts it in front of every container's name.", release.name),
        "services": services,
    }
    if options.keys:
        document["secrets"] = Commented(
            "The file of hashed API keys, from the folder in which Compose runs; user "
            f"{release.contract.user} has to be able to read it.",
            {"keys": {"file": _literal(_relative(options.keys))}},
        )
    return {"compose.yaml": document}


def _server(release: Release, options: Docker, *, published: bool) -> Document:
    contract = release.contract
    environment = dict(environment_of(release.configuration, contract))
    if options.cpus:
        environment["OMP_NUM_THREADS"] = str(math.ceil(options.cpus))
    if options.keys:
        environment["SHIPWAY_AUTH__KEYS"] = _KEYS
    memory = options.memory or f"{contract.memory_limit_mib}m"
    return {
        **_image(release),
        **({"ports": [_port(options, contract)]} if published else {"scale": options.replicas}),
        **({"environment": {key: _literal(value) for key, value in environment.items()}} if environment else {}),
        **({"secrets": ["keys"]} if options.keys else {}),
        **_hardened(memory, contract.user, 256),
        **({"cpus": options.cpus} if options.cpus else {}),
        "stop_grace_period": Commented(
            f"The time the server goes on serving after SIGTERM ({contract.drain_seconds}), the longest request "
            f"({contract.request_seconds}) and a second to end.",
            f"{contract.termination_seconds}s",
        ),
        "healthcheck": Commented(
            "Ready means that the models are loaded and have given their golden answers. The image has no shell, so "
            "its own Python asks. Docker restarts what ends and not what is unhealthy: this is for you to see.",
            {
                "test": ["CMD", _PYTHON, "-c", _ask(contract)],
                "interval": "10s",
                "timeout": "5s",
                "retries": 3,
                "start_period": "300s",
            },
        ),
    }


def _relay(release: Release, options: Docker) -> Document:
    contract = release.contract
    command = [
        "serve", _SERVER, "--port", str(contract.port), "--server-port", str(contract.port),
        "--probe-port", str(contract.metrics_port), "--ready", contract.ready,
    ]  # fmt: skip
    return {
        **_image(release),
        "entrypoint": [_PYTHON, "-m", "shipway.serving.relay"],
        "command": command,
        "ports": [_port(options, contract)],
        **_hardened("128m", contract.user, 64),
        "stop_grace_period": "35s",
    }


def _image(release: Release) -> Mapping[str, Document]:
    if ImageReference.parse(release.image).digest:
        return {"image": release.image}
    comment = "A tag can be moved to another image; a digest (name@sha256:DIGEST) cannot."
    return {"image": Commented(comment, release.image)}


def _port(options: Docker, contract: Contract) -> Document:
    return f"{address(options.host, options.port)}:{contract.port}"


def _hardened(memory: str, user: int, processes: int) -> Mapping[str, Document]:
    return {
        "user": Commented("Not root; the image says so too.", f"{user}:{user}"),
        "read_only": Commented("Nobody can write to the image's files; /tmp is memory.", True),
        "tmpfs": ["/tmp:rw,noexec,nosuid,size=64m"],  # noqa: S108 - the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": processes,
        "mem_limit": Commented("A leak ends this container and not its neighbours.", memory),
        "restart": Commented(
            "After a crash and after a restart of the machine, but not after `stop`.", "unless-stopped"
        ),
    }


def _ask(contract: Contract) -> str:
    return (
        f"import urllib.request as r; r.urlopen('http://127.0.0.1:{contract.metrics_port}{contract.ready}', timeout=4)"
    )


def _literal(text: str) -> str:
    """Gives a text in which Compose puts no variable in place of a `$`."""
    return text.replace("$", "$$")


def _relative(path: str) -> str:
    """Gives a path as Compose takes it: what has no folder in it would be taken for a name."""
    return path if PurePosixPath(path).is_absolute() or path.startswith(".") else f"./{path}"
