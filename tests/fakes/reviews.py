"""App folders as a review sees them, without any folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from textwrap import dedent
from typing import Any

from shipway.apps.dockerfile import DOCKERFILE, DockerfileFacts, read_dockerfile, started
from shipway.apps.findings import Finding, FolderFacts, Severity, review
from shipway.apps.requirements import Requirements, read_requirements
from shipway.apps.review.requirements import refusal
from shipway.apps.source import parse_all
from shipway.errors import ArtefactError

TODAY = date(2026, 1, 1)
INSTALLED = {"flask": "3.1.0", "joblib": "1.4.2", "pandas": "2.2.3", "scikit-learn": "1.6.1"}

FLASK = "from flask import Flask, jsonify, request\napp = Flask(__name__)\n"


def facts_of(files: Mapping[str, str], **known: Any) -> FolderFacts:
    """Gives a folder's facts.

    Args:
        files: texts by path, without their common indentation.
        known: other facts; `present` are the paths of files that are not read.
    """
    texts = {path: dedent(text) for path, text in files.items()}
    paths = frozenset({*texts, *known.pop("present", ())})
    docker = read_dockerfile(texts[DOCKERFILE]) if DOCKERFILE in texts else None
    requirements, refused = Requirements(), tuple[Finding, ...]()
    try:
        requirements = read_requirements(texts, docker)
    except ArtefactError as error:
        refused = (refusal(error),)
    facts = FolderFacts(
        "shop",
        paths,
        parse_all(texts, paths),
        "3.11",
        TODAY,
        {path: text for path, text in texts.items() if path.endswith(".yaml")},
        docker,
        requirements,
        refused,
        started(docker or DockerfileFacts(), texts.get("Procfile")),
    )
    return dataclasses.replace(facts, **{"installed": INSTALLED, **known})


@dataclass(frozen=True)
class Case:
    """One way of being wrong, and the same thing done right.

    Attributes:
        kind: of finding.
        where: it is.
        wrong: files that show it.
        right: files that do not.
        severity: of the finding.
        fix: a part of its fix.
        known: facts beside the texts, of the wrong folder.
        known_right: facts beside the texts, of the right one.
    """

    kind: str
    where: str
    wrong: Mapping[str, str]
    right: Mapping[str, str]
    severity: Severity
    fix: str
    known: Mapping[str, Any] = field(default_factory=dict)
    known_right: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}-{self.fix.partition(' ')[0]}"

    def found(self) -> list[Finding]:
        """What is found of this kind in the wrong files."""
        return [one for one in review(facts_of(self.wrong, **self.known)) if one.kind == self.kind]

    def found_right(self) -> list[Finding]:
        """What is found of this kind in the right files."""
        return [one for one in review(facts_of(self.right, **self.known_right)) if one.kind == self.kind]


def app(body: str) -> dict[str, str]:
    """Gives a Flask app of one file, whose third line is the first of `body`."""
    return {"app.py": FLASK + dedent(body)}
