"""The one table of targets: what each renders, how it is opened, and where it takes its images from.

A target is a room beside this file, an entry here, and its settings; the verbs know no target by name. Its room is
imported when it is asked for, so that nothing pays for a target that it does not use.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from shipway.deploy.target import Operator, Target
from shipway.deploy.yaml import Commented, Document, emit
from shipway.errors import UsageError
from shipway.spec.release import Release
from shipway.spec.settings import Deploy, Kubernetes
from shipway.spec.words import did_you_mean

__all__ = ["MARK", "RENDERED", "RUN", "TARGETS", "Kind", "find_target", "render", "render_rbac"]

Renderer = Callable[[Release, Deploy], Mapping[str, Document]]
Applier = Callable[[Path, Collection[str]], str]
Opener = Callable[[Deploy, Operator], AbstractContextManager[Target]]

MARK = "# Rendered by Shipway"
"""What the first line of a rendered file begins with: by it a file is known as Shipway's own to write again."""

_KEEP = (
    "Rendering again replaces the file as long as it begins with this line. Apply it as it is; keep changes of "
    "your own in {overlay}, or delete the line and the file is yours."
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What is to be known of a target before it is opened.

    Attributes:
        name: as `--to` and `--on` take it.
        table: which table of `[deploy]` has its settings.
        render: gives the documents of a release, by the file's name; None where it has none.
        overlay: where a person keeps changes of those files.
        apply: gives the command that applies a folder of such files; None where it has none.
        open: opens it for the time of a block; None where releases are not run on it by Shipway.
        pulls: whether it pulls images from a registry; else it takes one that an engine on this machine has.
    """

    name: str
    table: str
    render: Renderer | None = None
    overlay: str = ""
    apply: Applier | None = None
    open: Opener | None = None
    pulls: bool = True


def _render_compose(release: Release, deploy: Deploy) -> Mapping[str, Document]:
    from shipway.deploy.compose import render

    return render(release, deploy.docker)


def _apply_compose(folder: Path, files: Collection[str]) -> str:  # noqa: ARG001
    return f"docker compose --project-directory {folder} up --detach"


def _open_docker(deploy: Deploy, operator: Operator) -> AbstractContextManager[Target]:
    from shipway.deploy.docker.target import DockerTarget

    return nullcontext(DockerTarget.find(deploy.docker, operator))


def _render_kubernetes(release: Release, deploy: Deploy) -> Mapping[str, Document]:
    from shipway.deploy.kubernetes.objects.render import render

    return render(release, deploy.kubernetes)


def _apply_kubernetes(folder: Path, files: Collection[str]) -> str:
    from shipway.deploy.kubernetes.objects.render import KUSTOMIZATION

    return f"kubectl apply {'-k' if KUSTOMIZATION in files else '-f'} {folder}"


def _open_kubernetes(deploy: Deploy, operator: Operator) -> AbstractContextManager[Target]:
    from shipway.deploy.kubernetes.target import KubernetesTarget

    return KubernetesTarget.find(deploy.kubernetes, operator)


_ALL = (
    Kind(
        "compose",
        table="docker",
        render=_render_compose,
        overlay="compose.override.yaml",
        apply=_apply_compose,
        pulls=False,
    ),
    Kind("docker", table="docker", open=_open_docker, pulls=False),
    Kind(
        "kubernetes",
        table="kubernetes",
        render=_render_kubernetes,
        overlay="a kustomize overlay",
        apply=_apply_kubernetes,
        open=_open_kubernetes,
    ),
)
TARGETS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""Every target, by its name."""

RENDERED = tuple(name for name, kind in TARGETS.items() if kind.render)
"""Those of which files can be rendered."""

RUN = tuple(name for name, kind in TARGETS.items() if kind.open)
"""Those on which Shipway runs releases itself."""


def find_target(name: str) -> Kind:
    """Gives a target by its name.

    Raises:
        UsageError: there is none of that name; with the nearest.
    """
    if name not in TARGETS:
        raise UsageError(
            f"no target is called {name!r}", fix=did_you_mean(name, TARGETS) or f"one of {', '.join(TARGETS)}"
        )
    return TARGETS[name]


def render(release: Release, target: str, deploy: Deploy) -> Mapping[str, str]:
    """Gives the text of each file that a person would apply, by its name, in the order to apply them.

    The same release and settings give the same text.

    Raises:
        UsageError: no target of that name, one without files, or a setting that it would refuse.
    """
    kind = find_target(target)
    if kind.render is None:
        raise UsageError(f"no files are rendered for {target}", fix=f"--to {' or '.join(RENDERED)}")
    return _texts(f"{release.bundle.name}:{release.bundle.version}", kind.render(release, deploy), kind.overlay)


def render_rbac(options: Kubernetes, account: str | None = None) -> Mapping[str, str]:
    """Gives the text of each file that lets an account, `shipway` by default, release into one namespace.

    Raises:
        UsageError: no namespace, or a name that no cluster takes.
    """
    from shipway.deploy.kubernetes.objects.rbac import ACCOUNT, rbac

    purpose = f"releases into the namespace {options.namespace}"
    return _texts(purpose, rbac(options, ACCOUNT if account is None else account), TARGETS["kubernetes"].overlay)


def _texts(purpose: str, documents: Mapping[str, Document], overlay: str) -> Mapping[str, str]:
    heading = f"{MARK.removeprefix('# ')} for {purpose}.\n{_KEEP.format(overlay=overlay)}"
    return {name: emit(Commented(heading, document)) for name, document in documents.items()}
