"""A release: one version of one bundle, in one image, on its way to a target."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shipway.errors import UsageError
from shipway.spec.contract import Contract
from shipway.spec.image import ImageReference
from shipway.spec.reference import BundleId, check_name

__all__ = ["MAX_LABEL", "Release", "is_label", "release_name"]

MAX_LABEL = 63

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Release:
    """What a target is asked to run. A value that exists is valid: everything is checked when it is made.

    Attributes:
        name: of the objects on the target; a DNS label that begins with a letter, for a Service is called by it.
        bundle: which model exactly.
        image: where the image lies, as a container runtime takes it: `registry/repository:tag` or `…@sha256:…`.
        contract: what the image's server promises.
        configuration: text of the server's own `shipway.toml`; empty for none.

    Raises:
        UsageError: a value that no target takes.
    """

    name: str
    bundle: BundleId
    image: str
    contract: Contract
    configuration: str = ""

    def __post_init__(self) -> None:
        BundleId.parse(str(self.bundle))
        check_name(self.bundle.name)
        if not (is_label(self.name) and self.name[0].isalpha()):
            raise UsageError(
                f"{self.name!r} cannot be a release's name: a lower-case letter, then letters, digits and '-', "
                f"at most {MAX_LABEL} characters",
                fix=f"--name {release_name(self.bundle.name)}",
            )
        ImageReference.parse(self.image)


def release_name(bundle_name: str) -> str:
    """Gives the release's name for a bundle's: a name of DNS, which knows no `_` and begins with a letter here.

    `_` becomes `-`, and `model-` is put in front of a digit: `2024_churn` is released as `model-2024-churn`. So two
    bundles can meet in one name (`a_b` and `a-b`): the one who releases both gives one of them another name.
    """
    label = bundle_name.replace("_", "-")
    if label[:1].isdigit():
        label = f"model-{label}"
    return label[:MAX_LABEL].rstrip("-")


def is_label(text: str) -> bool:
    """Whether a text is a label of DNS, as most names on a cluster are."""
    return len(text) <= MAX_LABEL and _LABEL.fullmatch(text) is not None
