"""The image: cannot be pulled, or is not one of Shipway's for this machine."""

from __future__ import annotations

import re
from typing import NamedTuple

from shipway.deploy.kubernetes.health.causes.words import plainly
from shipway.deploy.kubernetes.health.snapshot import Look, part, parts, text
from shipway.deploy.target import Cause

__all__ = ["foreign", "other_architecture", "pull"]

UNREACHABLE_SECONDS = 60
"""For how long a registry that does not answer is given time: it may be restarting."""


class _Rule(NamedTuple):
    """How to read one kind of failed pull.

    Attributes:
        kind: of the cause.
        says: what the message matches, in lower case, without the image's name and digests.
        what, fix: of the cause; names in braces are filled in.
        passes: whether it may pass by itself.
    """

    kind: str
    says: re.Pattern[str]
    what: str
    fix: str
    passes: bool = False


_AGAIN = "{again} --image"
_RULES = (
    _Rule(
        "registry-plain-http",
        re.compile(r"server gave http response to https client"),
        "the registry {registry} speaks plain HTTP, and the cluster's nodes ask it over TLS",
        "give {registry} a certificate that the nodes trust, or list it as plain HTTP in each node's containerd "
        "(certs.d/{registry}/hosts.toml)",
    ),
    _Rule(
        "registry-untrusted",
        re.compile(r"x509|certificate|tls:"),
        "the cluster's nodes do not trust the certificate of the registry {registry}",
        "give {registry} a certificate that the nodes trust, or add its authority on each node "
        "(containerd: certs.d/{registry}/hosts.toml)",
    ),
    _Rule(
        "image-architecture",
        re.compile(
            r"no match for platform|no matching manifest|no image found in .* for arch|does not match .*platform"
        ),
        "the image {image} is not built for the architecture of the cluster's nodes",
        f"shipway build {{bundle}} --platform with the nodes' own (kubectl get nodes -L kubernetes.io/arch), then "
        f"{_AGAIN} with that image",
    ),
    _Rule(
        "registry-busy",
        re.compile(r"\b429\b|too ?many ?requests|rate limit"),
        "the registry {registry} answers no more requests of the cluster's nodes for now",
        "wait, or log in with --pull-secret: registries let known accounts pull more",
        passes=True,
    ),
    _Rule(
        "image-refused",
        re.compile(r"\b40[13]\b|unauthorized|denied|forbidden|authorization|authentication|no basic auth"),
        "the registry does not let the cluster's nodes pull {image}",
        "{kubectl} create secret docker-registry NAME --docker-server={server} --docker-username=… "
        f"--docker-password=…, then {_AGAIN} {{image}} --pull-secret NAME; or mend the image's name if it is misspelt",
    ),
    _Rule(
        "image-not-found",
        re.compile(r"not found|manifest unknown|name unknown|\b404\b|does not exist"),
        "there is no image {image}",
        f"{_AGAIN} with one that is there, or with --build to build and push it",
    ),
    _Rule(
        "node-disk-full",
        re.compile(r"no space left on device"),
        "the node's disk is full, so the image {image} cannot be unpacked",
        "kubectl describe node, and free its disk or give the cluster another node",
    ),
    _Rule(
        "registry-unreachable",
        re.compile(r"dial |no such host|timeout|timed out|refused|reset|unreachable|deadline exceeded|eof|\b50\d\b"),
        "the cluster's nodes cannot reach the registry {registry}",
        f"mend the registry or the nodes' network, or {_AGAIN} with an image that nodes can reach",
        passes=True,
    ),
    _Rule(
        "image-pull",
        re.compile(""),
        "the cluster's nodes cannot pull {image}",
        f"{{kubectl}} describe pods, mend what it says, then {_AGAIN} {{image}}",
        passes=True,
    ),
)

_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed"})
_NO_PROGRAM = re.compile(r'exec: "[^"]*": |no command specified')
_NO_SHIPWAY = re.compile(r"No module named '?shipway|command not found|exec \S+: no such file")
_FORMAT = re.compile(r"exec format error", re.IGNORECASE)


def pull(look: Look) -> Cause | None:
    """Finds out why a node cannot pull the image."""
    reason, image = text(look.waiting, "reason"), look.image
    if reason == "InvalidImageName":
        why = plainly(text(look.waiting, "message"))
        return Cause(
            "image-name-invalid",
            f"{image!r} is no name of an image",
            why,
            f"{look.snapshot.again} --image REGISTRY/NAME:TAG",
        )
    if reason == "ErrImageNeverPull":
        return Cause(
            "image-not-on-node",
            f"the image {image} is not on the node, and the pod forbids to pull it",
            "imagePullPolicy is Never",
            "import it on every node, or change imagePullPolicy",
        )
    return _failed_pull(look) if reason in _PULLING else None


def _failed_pull(look: Look) -> Cause | None:
    # Before 1.32 the state says only that the node waits; the event has the reason.
    pulled = next((message for message in look.said("Failed") if "Failed to pull image" in message), "")
    said = f"{text(look.waiting, 'message')} {pulled}"
    bare = re.sub(r"(sha256:)?[0-9a-f]{32,}", "", said.replace(look.image, "")).lower()
    rule = next(rule for rule in _RULES if rule.says.search(bare))
    host, about = _registry(look.image), look.snapshot
    names = {"image": look.image, "registry": host or "that nodes ask", "server": host or "REGISTRY"}
    names |= {"bundle": about.bundle, "again": about.again, "kubectl": about.kubectl}
    kind, what, fix = rule.kind, rule.what.format(**names), rule.fix.format(**names)
    if kind == "image-not-found" and "@" in look.image:
        kind, what = "image-digest-gone", f"the image {look.image} is no longer in its registry under that digest"
    if kind == "image-refused":
        kind, what, fix = _refused(look, what, fix)
    if not host and kind in {"image-not-found", "image-refused"}:
        fix += "; without a registry in its name, nodes ask Docker Hub (one imported on the node is localhost/NAME)"
    message = text(look.waiting, "message")
    why = plainly(message if "ErrImagePull: " in message or not pulled else pulled)
    return Cause(kind, what, why, fix, final=_has_backed_off(look, rule.passes))


def _refused(look: Look, what: str, fix: str) -> tuple[str, str, str]:
    """Tells three cases apart: no Secret is named, it is not there, it does not open the registry."""
    server = _registry(look.image) or "REGISTRY"
    named = [text(each, "name") for each in parts(look.pod, "spec", "imagePullSecrets")]
    missing = next(iter(look.said("FailedToRetrieveImagePullSecret")), "")
    for name in named:
        if missing and re.search(rf"[(, ]{re.escape(name)}[), ]", missing):
            create = f"{look.snapshot.kubectl} create secret docker-registry {name} --docker-server={server} "
            what = f"the Secret {name}, with which the nodes should pull {look.image}, is not there"
            return "pull-secret-missing", what, f"{create}--docker-username=… --docker-password=…"
    if named:
        what = f"{what}, though they show the Secret {named[0]}"
    return "image-refused", what, fix


def _has_backed_off(look: Look, passes: bool) -> bool:
    """A first failed pull may be a push that is under way; what may pass gets its time as well."""
    waits = look.waiting.get("reason") == "ImagePullBackOff" or any(
        "pulling image" in message for message in look.said("BackOff")
    )
    return waits and not (passes and look.age < UNREACHABLE_SECONDS)


def _registry(image: str) -> str:
    """The part before the first `/`, if it is a host's name; empty where there is none."""
    host, slash, _ = image.partition("/")
    return host if slash and re.search(r"[.:]|^localhost$", host) else ""


def other_architecture(look: Look) -> Cause | None:
    """Finds a program that was built for another processor: the kernel refuses it when it is started."""
    said = [text(look.ended, "message"), text(look.waiting, "message"), *look.last_words]
    line = next((line for line in said if _FORMAT.search(line)), None)
    if line is None:
        return None
    return Cause(
        "image-architecture",
        f"the image {look.image} is not built for the architecture of the cluster's nodes",
        plainly(line),
        f"shipway build {look.snapshot.bundle} --platform with the nodes' own "
        "(kubectl get nodes -L kubernetes.io/arch), then deploy that image",
        final=look.is_crashing,
    )


def foreign(look: Look) -> Cause | None:
    """Finds an image that Shipway did not build: it has no such program, or no Shipway."""
    said = [text(look.waiting, "message"), text(look.ended, "message")]
    if text(look.ended, "reason") not in {"", "StartError", "ContainerCannotRun"}:
        said = []
    line = next((line for line in said if _NO_PROGRAM.search(line)), None)
    line = line or next((line for line in reversed(look.last_words) if _NO_SHIPWAY.search(line)), None)
    if line is None:
        return None
    return Cause(
        "image-foreign",
        f"the image {look.image} is not one that Shipway built: its server cannot be started",
        plainly(line),
        f"{look.snapshot.again} --build --image {look.image} (or another name)",
        final=look.is_crashing or not part(look.server, "lastState"),
    )
