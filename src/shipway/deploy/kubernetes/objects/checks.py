"""Whether a cluster would take the settings: all of them are looked at before anything is rendered.

What passes is also safe in YAML and in the object that it stands in: names, labels, host names and amounts have
grammars, and no value of theirs means anything but itself.
Source: `k8s.io/apimachinery/pkg/util/validation`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from shipway.deploy.kubernetes.objects.resources import check_resources
from shipway.errors import UsageError
from shipway.spec.contract import Contract
from shipway.spec.release import MAX_LABEL, is_label
from shipway.spec.settings import Kubernetes

__all__ = ["check", "check_name", "is_host", "is_label_key", "is_label_value", "is_subdomain", "monitor_labels"]

_MAX_SUBDOMAIN = 253
_NAME_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_DNS_PART = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_ADDRESS = re.compile(r"[0-9.]+")
# Labels by which Shipway knows its own objects: no setting may say something else.
_OUR_PREFIXES = ("app.kubernetes.io/", "io.shipway/")

_LABEL_WORDS = f"lower-case letters, digits and '-', at most {MAX_LABEL} characters"
_SUBDOMAIN_WORDS = f"lower-case letters, digits, '-' and '.', at most {_MAX_SUBDOMAIN} characters"


def check(options: Kubernetes, contract: Contract) -> None:
    """Looks at all settings of a release.

    Raises:
        UsageError: the first that a cluster would refuse, with the flag and the key that mend it.
    """
    for error in (
        *_check_names(options),
        *_check_ingress(options),
        *_check_labels(options),
        *_check_replicas(options),
        *check_resources(options, contract),
    ):
        raise error


def check_name(key: str, name: str) -> None:
    """Looks at the name of an object that is named by a setting or flag of that key.

    Raises:
        UsageError: no object on a cluster can have it.
    """
    if not is_subdomain(name):
        raise _refused(key, name, _SUBDOMAIN_WORDS)


def is_subdomain(text: str) -> bool:
    """Whether a text is a subdomain of DNS (RFC 1123), as the names of most objects are."""
    return len(text) <= _MAX_SUBDOMAIN and all(_DNS_PART.fullmatch(part) for part in text.split("."))


def is_host(text: str) -> bool:
    """Whether a text is a host name that an Ingress takes; `*.` in front stands for one label; no address."""
    name = text.removeprefix("*.")
    return is_subdomain(name) and all(map(is_label, name.split("."))) and not _ADDRESS.fullmatch(name)


def is_label_key(text: str) -> bool:
    """Whether a text is the key of a label: a name, with a subdomain and `/` in front or without."""
    prefix, slash, name = text.rpartition("/")
    return is_label_value(name) and name != "" and (not slash or is_subdomain(prefix))


def is_label_value(text: str) -> bool:
    """Whether a text is the value of a label; the empty text is one."""
    return text == "" or (len(text) <= MAX_LABEL and _NAME_PART.fullmatch(text) is not None)


def monitor_labels(options: Kubernetes) -> dict[str, str]:
    """Gives the labels by which Prometheus picks the ServiceMonitor up."""
    return {key: value for key, _, value in (text.partition("=") for text in options.monitor_labels)}


def _check_names(options: Kubernetes) -> Iterator[UsageError]:
    checks: tuple[tuple[str, str, Callable[[str], bool], str], ...] = (
        ("namespace", options.namespace, is_label, _LABEL_WORDS),
        ("keys", options.keys, is_subdomain, _SUBDOMAIN_WORDS),
        ("pull_secret", options.pull_secret, is_subdomain, _SUBDOMAIN_WORDS),
        ("ingress_class", options.ingress_class, is_subdomain, _SUBDOMAIN_WORDS),
        ("ingress_tls", options.ingress_tls, is_subdomain, _SUBDOMAIN_WORDS),
        *(("allow_from", name, is_label, _LABEL_WORDS) for name in options.allow_from),
    )
    for key, name, holds, words in checks:
        if (name or key == "allow_from") and not holds(name):
            yield _refused(key, name, words)
    prefix, _, resource = options.gpu_resource.partition("/")
    if not (resource and is_label_key(options.gpu_resource)) or f".{prefix}".endswith(".kubernetes.io"):
        yield _refused("gpu_resource", options.gpu_resource, "the name that the nodes give it, such as nvidia.com/gpu")


def _check_ingress(options: Kubernetes) -> Iterator[UsageError]:
    if options.ingress and not is_host(options.ingress):
        yield _refused("ingress", options.ingress, "a host name in lower case, without http:// and without a path")
    if options.ingress_tls and not options.ingress:
        yield UsageError(
            f"the certificate in {options.ingress_tls!r} is for an Ingress, and there is none",
            fix="--ingress HOST, or deploy.kubernetes.ingress",
        )


def _check_labels(options: Kubernetes) -> Iterator[UsageError]:
    for text in options.monitor_labels:
        key, equals, value = text.partition("=")
        if not (equals and is_label_key(key) and is_label_value(value)):
            yield _refused("monitor_labels", text, "KEY=VALUE, both as Kubernetes has them, such as release=prometheus")
        elif key.startswith(_OUR_PREFIXES):
            yield _refused("monitor_labels", text, "any label but those by which Shipway knows its own objects")


def _check_replicas(options: Kubernetes) -> Iterator[UsageError]:
    if not options.max_replicas:
        return
    if options.max_replicas < options.replicas:
        yield UsageError(
            f"an autoscaler cannot keep between {options.replicas} and {options.max_replicas} pods",
            fix=f"--max-replicas {options.replicas} or more, or deploy.kubernetes.max_replicas = 0 for no autoscaler",
        )
    elif options.replicas == 0:
        yield UsageError(
            "an autoscaler on CPU cannot start from no pods: nothing would be measured", fix="--replicas 1"
        )


_FLAGS = {"monitor_labels": "--monitor-label"}


def _refused(key: str, value: str, words: str) -> UsageError:
    flag = _FLAGS.get(key) or f"--{key.replace('_', '-')}"
    return UsageError(f"{value!r} cannot be {key}: it is {words}", fix=f"{flag}, or deploy.kubernetes.{key}")
