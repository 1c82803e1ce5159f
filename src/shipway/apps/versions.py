"""Which versions are installed here of what an app needs: it is tried with them, and its image prefers them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shipway.apps.distributions import installed
from shipway.apps.requirements import Requirements
from shipway.spec.words import normal_name

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

__all__ = ["installed_versions", "versions_here"]


def installed_versions(requirements: Sequence[str], constraints: Sequence[str] = ()) -> dict[str, str]:
    """Gives name and version of each distribution installed here that fits the requirements, and of all that it needs.

    Args:
        requirements: as PEP 508 has them.
        constraints: on what they bring; versions that they refuse are left out.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    limits = _limits(constraints)
    found: dict[str, str] = {}
    waiting = [(Requirement(text), "") for text in requirements]
    done: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        version = installed(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if not applies or version is None or not requirement.specifier.contains(version, prereleases=True):
            continue
        limit = limits.get(normal_name(requirement.name))
        if limit is None or limit.contains(version, prereleases=True):
            found[normal_name(requirement.name)] = version
        for wanted in ("", *sorted(requirement.extras)):
            if (normal_name(requirement.name), wanted) not in done:
                done.add((normal_name(requirement.name), wanted))
                for text in _needs(requirement.name):
                    try:
                        waiting.append((Requirement(text), wanted))
                    except InvalidRequirement:
                        continue  # an old distribution's own affair
    return dict(sorted(found.items()))


def versions_here(requirements: Requirements) -> dict[str, str]:
    """Gives the versions installed here of what is listed, and of what that brings and a constraint is on."""
    brought = installed_versions(requirements.texts)
    names = {one.name for one in requirements.listed} | (
        {one.name for one in requirements.constraints} & brought.keys()
    )
    return {name: version for name in sorted(names) if (version := installed(name)) is not None}


def _limits(constraints: Sequence[str]) -> dict[str, SpecifierSet]:
    """Gives what is allowed of each distribution, by its normal name."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    found: dict[str, SpecifierSet] = {}
    for one in map(Requirement, constraints):
        if one.marker is None or one.marker.evaluate():
            name = normal_name(one.name)
            found[name] = found.get(name, SpecifierSet()) & one.specifier
    return found


def _needs(name: str) -> list[str]:
    from importlib import metadata

    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
