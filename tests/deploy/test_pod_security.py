"""The restricted Pod Security Standard as a table of rules over a pod's specification, independent of what renders it.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fakes.releases import CASES, EVERYTHING, Case, rendered

Pod = dict[str, Any]
Container = dict[str, Any]

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SELINUX_TYPES = {None, "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
}  # fmt: skip


def containers(pod: Pod) -> list[Container]:
    return [c for key in ("containers", "initContainers", "ephemeralContainers") for c in pod.get(key, [])]


def context(holder: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = holder.get("securityContext", {})
    return found


def contexts(pod: Pod) -> list[dict[str, Any]]:
    return [context(pod), *map(context, containers(pod))]


def handlers(pod: Pod) -> Iterator[dict[str, Any]]:
    for container in containers(pod):
        yield from (container[key] for key in ("startupProbe", "readinessProbe", "livenessProbe") if key in container)
        yield from (hook for hook in container.get("lifecycle", {}).values() if isinstance(hook, dict))


def effective(pod: Pod, key: str) -> list[Any]:
    """The setting that holds for each container: its own, else the pod's."""
    return [context(c).get(key, context(pod).get(key)) for c in containers(pod)]


def profile_types(pod: Pod, key: str) -> set[Any]:
    return {c[key].get("type") for c in contexts(pod) if key in c}


RULES: dict[str, Callable[[Pod], bool]] = {
    "host namespaces": lambda pod: not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
    "privileged": lambda pod: not any(c.get("privileged") for c in contexts(pod)),
    "capabilities dropped": lambda pod: all(
        "ALL" in context(c).get("capabilities", {}).get("drop", []) for c in containers(pod)
    ),
    "capabilities added": lambda pod: all(
        set(c.get("capabilities", {}).get("add", [])) <= {"NET_BIND_SERVICE"} for c in contexts(pod)
    ),
    "volume types": lambda pod: all(set(volume) - {"name"} <= VOLUMES for volume in pod.get("volumes", [])),
    "host ports": lambda pod: not any(port.get("hostPort") for c in containers(pod) for port in c.get("ports", [])),
    "hosts of probes and hooks": lambda pod: (
        not any(handler.get(kind, {}).get("host") for handler in handlers(pod) for kind in ("httpGet", "tcpSocket"))
    ),
    "privilege escalation": lambda pod: all(
        context(c).get("allowPrivilegeEscalation") is False for c in containers(pod)
    ),
    "not root": lambda pod: all(value is True for value in effective(pod, "runAsNonRoot")),
    "user": lambda pod: not any(c.get("runAsUser") == 0 for c in contexts(pod)),
    "seccomp": lambda pod: all(
        profile and profile["type"] in {"RuntimeDefault", "Localhost"} for profile in effective(pod, "seccompProfile")
    ),
    "SELinux": lambda pod: all(
        options.get("type") in SELINUX_TYPES and not options.get("user") and not options.get("role")
        for options in (c.get("seLinuxOptions", {}) for c in contexts(pod))
    ),
    "AppArmor": lambda pod: profile_types(pod, "appArmorProfile") <= {None, "RuntimeDefault", "Localhost"},
    "proc mount": lambda pod: all(c.get("procMount", "Default") == "Default" for c in contexts(pod)),
    "sysctls": lambda pod: {sysctl["name"] for sysctl in context(pod).get("sysctls", [])} <= SYSCTLS,
    "Windows host process": lambda pod: not any(c.get("windowsOptions", {}).get("hostProcess") for c in contexts(pod)),
}


def broken_rules(pod: Pod) -> list[str]:
    """The names of the rules that the pod breaks."""
    return [name for name, holds in RULES.items() if not holds(pod)]


def pod_of(case: Case) -> Pod:
    pod: Pod = rendered(case)["deployment.yaml"]["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_pod_keeps_every_rule_of_the_restricted_standard(case: Case) -> None:
    assert broken_rules(pod_of(case)) == []


@pytest.mark.parametrize(
    ("rule", "path", "value"),
    [
        ("host namespaces", ("hostPID",), True),
        ("privileged", ("containers", 0, "securityContext", "privileged"), True),
        ("capabilities dropped", ("containers", 0, "securityContext", "capabilities", "drop"), ["NET_RAW"]),
        ("capabilities added", ("containers", 0, "securityContext", "capabilities", "add"), ["SYS_ADMIN"]),
        ("volume types", ("volumes", 0), {"name": "tmp", "hostPath": {"path": "/"}}),
        ("host ports", ("containers", 0, "ports", 0, "hostPort"), 80),
        ("hosts of probes and hooks", ("containers", 0, "livenessProbe", "httpGet", "host"), "10.0.0.1"),
        ("privilege escalation", ("containers", 0, "securityContext", "allowPrivilegeEscalation"), None),
        ("not root", ("securityContext", "runAsNonRoot"), False),
        ("user", ("containers", 0, "securityContext", "runAsUser"), 0),
        ("seccomp", ("securityContext", "seccompProfile"), {"type": "Unconfined"}),
        ("SELinux", ("securityContext", "seLinuxOptions"), {"type": "spc_t"}),
        ("AppArmor", ("securityContext", "appArmorProfile"), {"type": "Unconfined"}),
        ("proc mount", ("containers", 0, "securityContext", "procMount"), "Unmasked"),
        ("sysctls", ("securityContext", "sysctls"), [{"name": "kernel.msgmax", "value": "1"}]),
        ("Windows host process", ("securityContext", "windowsOptions"), {"hostProcess": True}),
    ],
)
def test_each_rule_of_the_standard_can_be_broken(rule: str, path: tuple[str | int, ...], value: object) -> None:
    broken = copy.deepcopy(pod_of(EVERYTHING))
    holder: Any = broken
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    assert broken_rules(broken) == [rule]
    assert rule in RULES
