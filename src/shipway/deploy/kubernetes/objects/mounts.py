"""What the server finds in files: its settings, and the hashes of its API keys."""

from __future__ import annotations

import hashlib

from shipway.deploy.kubernetes.objects.labels import metadata
from shipway.deploy.yaml import Commented, Document
from shipway.spec.release import Release
from shipway.spec.settings import Kubernetes

__all__ = ["config_map", "config_name", "environment", "mounts", "volumes"]

_CONFIG_FOLDER = "/etc/shipway/config"
_CONFIG_FILE = "shipway.toml"
_KEYS_FOLDER = "/etc/shipway/keys"
_KEYS_ENTRY = "keys"


def config_name(release: Release) -> str:
    """Gives the name of the ConfigMap of a release: other settings are another object."""
    return f"{release.name}-config-{hashlib.sha256(release.configuration.encode()).hexdigest()[:8]}"


def config_map(release: Release, options: Kubernetes) -> Document:
    """Gives the ConfigMap of the server's settings; None where they are all the defaults."""
    if not release.configuration:
        return None
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": Commented(
            "The name holds a hash of the content. Other settings are another object, so that changing them rolls new "
            "pods out, and going back finds the old ones as they were.",
            metadata(release, options.namespace, name=config_name(release)),
        ),
        "immutable": Commented("Nobody can change under a running pod what it was started with.", True),
        "data": {_CONFIG_FILE: release.configuration},
    }


def environment(release: Release, options: Kubernetes) -> list[Document]:
    """Gives the variables that tell the server where its files are."""
    found: list[Document] = []
    if release.configuration:
        variable = {"name": "SHIPWAY_CONFIG", "value": f"{_CONFIG_FOLDER}/{_CONFIG_FILE}"}
        found.append(Commented("The settings that are not the defaults; a variable would beat them.", variable))
    if options.keys:
        variable = {"name": "SHIPWAY_AUTH__KEYS", "value": f"{_KEYS_FOLDER}/{_KEYS_ENTRY}"}
        found.append(Commented("Callers must have an API key whose hash stands there.", variable))
    return found


def volumes(release: Release, options: Kubernetes) -> list[Document]:
    """Gives the pod's volumes."""
    found: list[Document] = [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    if release.configuration:
        found.append({"name": "config", "configMap": {"name": config_name(release)}})
    if options.keys:
        found.append(
            Commented(
                "Hashes of the API keys, in a Secret that you make: `kubectl create secret generic "
                f"{options.keys} --from-file={_KEYS_ENTRY}=FILE`. The server reads them when it starts: after a "
                f"change, `kubectl rollout restart deployment/{release.name}`.",
                {
                    "name": "keys",
                    "secret": {
                        "secretName": options.keys,
                        "items": [{"key": _KEYS_ENTRY, "path": _KEYS_ENTRY}],
                    },
                },
            )
        )
    return found


def mounts(release: Release, options: Kubernetes) -> Document:
    """Gives where the container has its volumes."""
    found: list[Document] = [
        Commented("The only place that can be written to.", {"name": "tmp", "mountPath": "/tmp"})  # noqa: S108
    ]
    if release.configuration:
        found.append({"name": "config", "mountPath": _CONFIG_FOLDER, "readOnly": True})
    if options.keys:
        found.append({"name": "keys", "mountPath": _KEYS_FOLDER, "readOnly": True})
    return found
