"""Something that the pod names is not there, or does not fit: Secrets, ConfigMaps, users, volumes."""

from __future__ import annotations

import re

from shipway.deploy.kubernetes.health.causes.words import plainly
from shipway.deploy.kubernetes.health.snapshot import Look, parts, text
from shipway.deploy.target import Cause

__all__ = ["configuration", "mounts"]

NODE_SECONDS = 60
"""How long a node is given to mount a volume or to make a container: disks move, and a busy node answers late."""

SETTLING_SECONDS = 5
"""How long a Secret or ConfigMap may come after the pod: they are often applied together."""

_NAMED = re.compile(r"(?P<kind>secret|configmap) \"(?P<name>[^\"]*)\" not found", re.IGNORECASE)
_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) (?:[^/\s]*/)?(?P<name>\S+)")
_MOUNT_KEY = re.compile(r"references non-existent (?P<kind>secret|config) key: (?P<key>\S+)")
_VOLUME = re.compile(r"for volume \"(?P<name>[^\"]*)\"")


def configuration(look: Look) -> Cause | None:
    """Finds what keeps a node from making the container: a missing Secret, ConfigMap or key, an unsuitable user."""
    if text(look.waiting, "reason") not in {"CreateContainerConfigError", "CreateContainerError"}:
        return None
    message = text(look.waiting, "message")
    cause = _absent(look, message)
    if cause:
        return cause
    why = plainly(message)
    if "runAsNonRoot" in message:
        return Cause(
            "user-refused",
            f"the pod must not run as root, and the user of the image {look.image} is root or a name",
            why,
            "set runAsUser: 65532 on the pod, as shipway render does, or give the image a numeric USER",
        )
    if "no command specified" in message:
        return None
    fix = f"{look.snapshot.kubectl} describe pod {look.name}, and mend what it says"
    what = "the node cannot make the server's container"
    return Cause("container-refused", what, why, fix, final=look.age >= NODE_SECONDS)


def mounts(look: Look) -> Cause | None:
    """Finds a volume that cannot be mounted: the pod waits with ContainerCreating until it can."""
    if look.server and text(look.waiting, "reason") not in {"ContainerCreating", "PodInitializing"}:
        return None
    message = next(iter(look.said("FailedMount", "FailedAttachVolume", "FailedMapVolume")), "")
    if not message:
        return None
    cause = _absent(look, message)
    if cause:
        return cause
    volume = _VOLUME.search(message)
    return Cause(
        "volume",
        f"the volume {volume['name'] if volume else 'of the pod'} cannot be mounted",
        plainly(message),
        f"{look.snapshot.kubectl} describe pod {look.name}, and mend the volume",
        final=look.age >= NODE_SECONDS,
    )


def _absent(look: Look, message: str) -> Cause | None:
    named, key = _NAMED.search(message), _KEY.search(message)
    mounted = _MOUNT_KEY.search(message)
    if named:
        kind, name = _kind(named["kind"]), named["name"]
        what = f"the {kind} {name}, which the pod needs, is not there"
        return Cause(
            f"{_word(kind)}-missing", what, plainly(message), _make(look, kind, name), look.age >= SETTLING_SECONDS
        )
    if key:
        kind, name, entry = _kind(key["kind"]), key["name"], key["key"]
    elif mounted:
        kind, entry = _kind(mounted["kind"]), mounted["key"]
        name = _source(look, kind, message)
    else:
        return None
    what = f"the {kind} {name} has no entry {entry}"
    return Cause(f"{_word(kind)}-key-missing", what, plainly(message), _make(look, kind, name, entry))


def _make(look: Look, kind: str, name: str, entry: str = "") -> str:
    """The command that makes it, or makes it anew where only an entry is missing."""
    kubectl = look.snapshot.kubectl
    gone = f"{kubectl} delete {kind.lower()} {name}, then " if entry else ""
    if kind == "Secret":
        made = f"{kubectl} create secret generic {name} --from-file={entry or 'keys'}=FILE"
        return f"{gone}{made} (shipway keys new --api --file FILE makes the API keys)"
    return (
        f"{look.snapshot.again} makes those of its own; for others, "
        f"{gone}{kubectl} create configmap {name} --from-file={entry or 'shipway.toml'}=FILE"
    )


def _source(look: Look, kind: str, message: str) -> str:
    """The name of what a volume is made of; a message about a missing key has only the volume's."""
    volume = _VOLUME.search(message)
    for each in parts(look.pod, "spec", "volumes"):
        if volume and each.get("name") == volume["name"]:
            return text(each, "secret", "secretName") if kind == "Secret" else text(each, "configMap", "name")
    return "of the pod"


def _kind(word: str) -> str:
    return "Secret" if word.lower() == "secret" else "ConfigMap"


def _word(kind: str) -> str:
    return {"Secret": "secret", "ConfigMap": "config"}[kind]
