"""What a review looks at: an app's folder as texts and facts, so that judging it needs no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from shipway.apps.dockerfile import DockerfileFacts
from shipway.apps.files import LeftOut
from shipway.apps.requirements import Requirements
from shipway.apps.review.finding import Finding
from shipway.apps.source import Source

__all__ = ["FolderFacts", "ModelFile"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file of the folder, as its bytes say without being opened.

    Attributes:
        path: relative and POSIX.
        framework: that packs it, as adapters are named; empty where none of Shipway's does.
        evidence: what in the content says so.
        versions: of scikit-learn, that wrote it.
        dangerous: what opening it would use that no model needs, in words.
        main: names that it looks up in `__main__`, the script that wrote it.
        broken: why it cannot be opened; empty where it can.
        pointer: whether it is a Git LFS pointer that stands for the file.
    """

    path: str
    framework: str = ""
    evidence: str = ""
    versions: tuple[str, ...] = ()
    dangerous: tuple[str, ...] = ()
    main: tuple[str, ...] = ()
    broken: str = ""
    pointer: bool = False


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """An app's folder.

    Attributes:
        name: of the folder, as its owner would type it.
        files: relative POSIX paths of all files that go.
        source: its Python.
        manifests: text of each YAML file, by path.
        docker: what its Dockerfile says; None for none.
        requirements: that it lists; none where they cannot be read.
        refused: why they cannot be read.
        started: `module:object` that its Dockerfile or Procfile starts.
        python: version (major.minor) of the Python that packs it.
        today: the day of the review; support of old versions ends on days.
        left_out: what does not go.
        models: its model files.
        installed: version of each distribution that is installed here, by normalised name (PEP 503).
        wanted: `module:object` that the user named.
    """

    name: str
    files: frozenset[str]
    source: Source
    python: str
    today: date
    manifests: Mapping[str, str] = field(default_factory=dict)
    docker: DockerfileFacts | None = None
    requirements: Requirements = Requirements()  # noqa: RUF009 - frozen
    refused: tuple[Finding, ...] = ()
    started: str | None = None
    left_out: tuple[LeftOut, ...] = ()
    models: tuple[ModelFile, ...] = ()
    installed: Mapping[str, str] = field(default_factory=dict)
    wanted: str | None = None
