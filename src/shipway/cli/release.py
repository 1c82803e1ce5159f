"""What the verbs that make a release share: its options on the command line, and the release that they describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar

import click

from shipway.cli.session import Session

if TYPE_CHECKING:
    from shipway.bundle.bundle import Bundle
    from shipway.spec.release import Release
    from shipway.spec.settings import Deploy

__all__ = ["make_release", "release_options", "render_options", "target_flags"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_SERVICES = ["ClusterIP", "NodePort", "LoadBalancer"]

# None where nothing is given, so that the environment and the settings file count; each is the setting of that name.
_OPTIONS = (
    click.option("--name", metavar="N", help="Name of the release.  [default: the bundle's]"),
    click.option("--namespace", metavar="N", help="Kubernetes: where it runs.  [default: the context's]"),
    click.option("--replicas", type=int, metavar="N", help="How many servers.  [default: 3, in Docker 1]"),
    click.option("--max-replicas", type=int, metavar="N", help="Kubernetes: an autoscaler adds servers up to N."),
    click.option("--cpu-percent", type=int, metavar="P", help="CPU above which the autoscaler adds.  [default: 80]"),
    click.option(
        "--service",
        type=click.Choice(_SERVICES, case_sensitive=False),
        metavar="TYPE",
        help="How callers reach it: ClusterIP, NodePort or LoadBalancer.  [default: ClusterIP]",
    ),
    click.option("--cpu", metavar="AMOUNT", help="Kubernetes: CPU of each server, such as 500m.  [default: 100m]"),
    click.option("--memory", metavar="AMOUNT", help="Memory of each server.  [default: what the model needs]"),
    click.option("--cpu-limit", metavar="AMOUNT", help="Kubernetes: the most CPU a server may take.  [default: none]"),
    click.option(
        "--memory-limit", metavar="AMOUNT", help="Kubernetes: the most memory.  [default: twice what the model needs]"
    ),
    click.option("--gpu", type=int, metavar="N", help="Kubernetes: whole GPUs of each server."),
    click.option("--gpu-resource", metavar="NAME", help="What the cluster calls a GPU.  [default: nvidia.com/gpu]"),
    click.option("--keys", metavar="NAME", help="API keys: on Kubernetes a Secret with an entry keys, else a file."),
    click.option("--pull-secret", metavar="NAME", help="Kubernetes: Secret with which nodes pull the image."),
    click.option("--ingress", metavar="HOST", help="Kubernetes: an Ingress leads this host name to it."),
    click.option("--ingress-class", metavar="CLASS", help="Which controller serves it.  [default: the cluster's]"),
    click.option("--ingress-tls", metavar="NAME", help="Secret with the host's certificate."),
    click.option(
        "--network-policy/--no-network-policy",
        default=None,
        help="Kubernetes: let in only pods of its namespace, and nothing out.",
    ),
    click.option(
        "--allow-from", multiple=True, metavar="NAMESPACE", help="Whose pods the policy lets in too; repeatable."
    ),
    click.option(
        "--disruption-budget/--no-disruption-budget",
        default=None,
        help="Kubernetes: let a node drain take one server at a time.  [default: on]",
    ),
    click.option(
        "--service-monitor/--no-service-monitor", default=None, help="Kubernetes: for the Prometheus operator."
    ),
    click.option(
        "--monitor-label",
        "monitor_labels",
        multiple=True,
        metavar="KEY=VALUE",
        help="By what Prometheus picks the monitor up; repeatable.",
    ),
    click.option("--host", metavar="ADDRESS", help="Docker: where it listens.  [default: 127.0.0.1]"),
    click.option("--port", type=int, metavar="PORT", help="Docker: on which port.  [default: 8000]"),
    click.option("--cpus", type=float, metavar="N", help="Docker: the most cores a server may take."),
)
_KUSTOMIZATION = click.option(
    "--kustomization/--no-kustomization", default=None, help="Kubernetes: a kustomization.yaml that lists the files."
)
_CONTEXT = click.option(
    "--context", metavar="C", help="Kubernetes: which context of kubeconfig.  [default: its current]"
)


def release_options(command: _Command) -> _Command:
    """Adds the options that say how a bundle runs on a target, and on which cluster."""
    return _with(command, *_OPTIONS, _CONTEXT)


def render_options(command: _Command) -> _Command:
    """Adds the options that say how a bundle runs on a target, and how its files are written."""
    return _with(command, *_OPTIONS, _KUSTOMIZATION)


def make_release(
    session: Session, bundle: Bundle, image: str, target: str, flags: Mapping[str, Any]
) -> tuple[Release, Deploy]:
    """Gives the release that the flags and settings describe, and the settings.

    The server's own settings travel with it: what differs from the defaults, as its `shipway.toml`, and its times as
    the contract. Times are rounded up to whole seconds, which is what targets reckon in.

    Args:
        session: for the settings, and for a warning where API keys stay behind.
        bundle: what is released.
        image: that holds it.
        target: by its name in `deploy/targets.py`.
        flags: what the options above were given; None and () where they were not.

    Raises:
        UsageError: a flag that the target does not have, or a value that cannot be.
    """
    from shipway.deploy.configuration import server_configuration
    from shipway.deploy.targets import find_target
    from shipway.spec.contract import Contract
    from shipway.spec.release import Release, release_name

    name, options = flags.get("name"), {key: value for key, value in flags.items() if key != "name"}
    table = find_target(target).table
    settings = session.resolve(target_flags(table, options)).settings
    server = settings.server
    contract = replace(
        Contract.of(bundle.manifest),
        drain_seconds=ceil(server.drain_seconds),
        request_seconds=ceil(settings.limits.seconds),
    )
    release = Release(
        name=release_name(bundle.id.name) if name is None else name,
        bundle=bundle.id,
        image=image,
        contract=contract,
        configuration=server_configuration(settings, bundle.id.name),
    )
    keys = getattr(settings.deploy, table).keys
    session.note_keys({"SHIPWAY_AUTH__KEYS": keys} if keys else {})
    return release, settings.deploy


def target_flags(table: str, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Gives flags by the settings of a target that they stand for.

    Raises:
        UsageError: a flag that this target does not have.
    """
    from shipway.errors import UsageError
    from shipway.spec.settings import Deploy

    known = getattr(Deploy(), table).__struct_fields__
    given = {key: value for key, value in flags.items() if value is not None and value != ()}
    for key in given:
        if key not in known:
            flag = f"--{key.removesuffix('s') if key == 'monitor_labels' else key}".replace("_", "-")
            raise UsageError(f"{flag} means nothing to {table}", fix=f"leave it out; settings of [deploy.{table}] do")
    return {f"deploy.{table}.{key}": value for key, value in given.items()}


def _with(command: _Command, *options: Callable[[_Command], _Command]) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command
