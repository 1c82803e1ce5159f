"""The targets: each is a function from a release to its documents, by the file's name. One file a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from shipway.deploy import kubernetes
from shipway.deploy.yaml import Commented, Document, emit
from shipway.errors import UsageError
from shipway.spec.release import Release
from shipway.spec.rows import did_you_mean

__all__ = ["MARK", "TARGETS", "Target", "render"]

Target = Callable[[Release], Mapping[str, Document]]

TARGETS: Mapping[str, Target] = MappingProxyType({"kubernetes": kubernetes.render})
"""Every target that can be rendered, by the name that `--to` takes."""

MARK = "# Rendered by Shipway"
"""What the first line of a rendered file begins with: by it a file is known as Shipway's own to write again."""


def render(release: Release, target: str) -> Mapping[str, str]:
    """Gives the text of each file that a person would apply, by its name, in the order to apply them.

    The same release gives the same text.

    Raises:
        UsageError: no target of that name.
    """
    if target not in TARGETS:
        known = ", ".join(sorted(TARGETS))
        raise UsageError(f"no target is called {target!r}", fix=did_you_mean(target, TARGETS) or f"--to {known}")
    heading = (
        f"{MARK.removeprefix('# ')} for {release.bundle.name}:{release.bundle.version}.\n"
        "Rendering again replaces the file as long as it begins with this line. Apply it as it is; keep changes of "
        "your own in a kustomize overlay, or delete the line and the file is yours."
    )
    return {name: emit(Commented(heading, document)) for name, document in TARGETS[target](release).items()}
