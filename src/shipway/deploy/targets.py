"""The targets: each is a function from a release to its documents, by the file's name. One file a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from shipway.deploy.compose import render as render_compose
from shipway.deploy.kubernetes.objects.rbac import ACCOUNT
from shipway.deploy.kubernetes.objects.rbac import rbac as rbac_of_kubernetes
from shipway.deploy.kubernetes.objects.render import render as render_kubernetes
from shipway.deploy.yaml import Commented, Document, emit
from shipway.errors import UsageError
from shipway.spec.release import Release
from shipway.spec.settings import Deploy, Kubernetes
from shipway.spec.words import did_you_mean

__all__ = ["MARK", "RENDERERS", "Renderer", "check_target", "render", "render_rbac"]

Renderer = Callable[[Release, Deploy], Mapping[str, Document]]

RENDERERS: Mapping[str, Renderer] = MappingProxyType(
    {
        "compose": lambda release, deploy: render_compose(release, deploy.docker),
        "kubernetes": lambda release, deploy: render_kubernetes(release, deploy.kubernetes),
    }
)
"""Every target that can be rendered, by the name that `--to` takes."""

MARK = "# Rendered by Shipway"
"""What the first line of a rendered file begins with: by it a file is known as Shipway's own to write again."""

_KEEP = (
    "Rendering again replaces the file as long as it begins with this line. Apply it as it is; keep changes of "
    "your own in {overlay}, or delete the line and the file is yours."
)
_OVERLAYS: Mapping[str, str] = MappingProxyType(
    {"compose": "compose.override.yaml", "kubernetes": "a kustomize overlay"}
)


def render(release: Release, target: str, deploy: Deploy) -> Mapping[str, str]:
    """Gives the text of each file that a person would apply, by its name, in the order to apply them.

    The same release and settings give the same text.

    Raises:
        UsageError: no target of that name, or a setting that it would refuse.
    """
    check_target(target)
    return _texts(f"{release.bundle.name}:{release.bundle.version}", RENDERERS[target](release, deploy), target)


def render_rbac(options: Kubernetes, account: str = ACCOUNT) -> Mapping[str, str]:
    """Gives the text of each file that lets an account release into one namespace.

    Raises:
        UsageError: no namespace, or a name that no cluster takes.
    """
    return _texts(
        f"releases into the namespace {options.namespace}", rbac_of_kubernetes(options, account), "kubernetes"
    )


def check_target(target: str) -> None:
    """Looks whether a target can be rendered.

    Raises:
        UsageError: there is none of that name; with the nearest.
    """
    if target not in RENDERERS:
        known = ", ".join(sorted(RENDERERS))
        raise UsageError(f"no target is called {target!r}", fix=did_you_mean(target, RENDERERS) or f"--to {known}")


def _texts(purpose: str, documents: Mapping[str, Document], target: str) -> Mapping[str, str]:
    heading = f"{MARK.removeprefix('# ')} for {purpose}.\n{_KEEP.format(overlay=_OVERLAYS[target])}"
    return {name: emit(Commented(heading, document)) for name, document in documents.items()}
