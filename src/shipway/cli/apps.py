"""What verbs say and do of web apps: a folder that holds one, packed; a bundle of one, shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shipway.cli.output import table

if TYPE_CHECKING:
    from shipway.apps.pack import PackedApp
    from shipway.apps.review.finding import Finding
    from shipway.bundle.bundle import Bundle
    from shipway.bundle.pack_app import AppReport
    from shipway.cli.session import Session
    from shipway.spec.app import AppManifest

__all__ = ["AppOptions", "app_facts", "app_page", "app_text", "holds_app", "pack_folder", "shown"]

_SHOWN_FILES = 12
_MAY_WORK = frozenset({"no-requirements", "not-listed", "numpy-answer"})
"""Errors that stop nobody: what is not listed is added, and whether an answer can be written a sample shows."""

_REPLACED = ("Dockerfile", ".yaml", ".yml")
"""Files in whose place Shipway writes its own; what is wrong in them is said, and hinders nothing."""

_INSPECTED = frozenset({"no-app", "requirement", "requirement-typo"})


@dataclass(frozen=True, slots=True)
class AppOptions:
    """How a folder is packed.

    Attributes:
        app: `module:object` where the user names it.
        sample: a file with a request.
        include: files that go although they are ignored or look like secrets.
        seconds: that its import and the sample may take.
        new_version: count the version up although the content is the same.
        brief: say how many findings there are instead of each.
    """

    app: str | None = None
    sample: Path | None = None
    include: Sequence[str] = ()
    seconds: float = 60.0
    new_version: bool = False
    brief: bool = False


def holds_app(folder: Path) -> bool:
    """Whether a path is a folder and no model by itself: what it holds if not an app, is said when it is packed."""
    from shipway.errors import ArtefactError
    from shipway.models.registry import detect

    if not folder.is_dir():
        return False
    try:
        detect(folder)
    except ArtefactError:
        return True
    return False


def pack_folder(session: Session, folder: Path, name: str, options: AppOptions) -> AppReport:
    """Packs an app's folder: confirms it, says what its author should know, stores it.

    Raises:
        ArtefactError: there is no app, or it cannot be served as it stands.
    """
    from shipway.apps.pack import AppRequest, inspect_app
    from shipway.bundle.pack_app import store_app
    from shipway.errors import ArtefactError
    from shipway.spec.reference import check_name

    check_name(name)
    request = AppRequest(folder, options.app, options.sample, options.include, options.seconds)
    packed = inspect_app(request, session.out.say)
    for note in packed.notes:
        session.out.say(note)
    findings = (*packed.findings, *_review(packed, folder))
    if findings and options.brief:
        session.out.say(f"its author should know {len(findings)} things: shipway doctor {folder}")
    for finding in () if options.brief else findings:
        session.out.say(f"{finding.where}: {finding.what}\n  fix: {finding.fix}")
    stops = next(filter(_stops, findings), None)
    if stops:
        raise ArtefactError(f"{stops.where}: {stops.what}", fix=stops.fix)
    notes = {"findings": str(len(findings))} if findings else {}
    return store_app(packed, name, session.store(), notes=notes, new_version=options.new_version)


def _review(packed: PackedApp, folder: Path) -> tuple[Finding, ...]:
    from shipway.apps.findings import read_facts, review

    found = review(read_facts(packed.folder, packed.source, folder.as_posix(), packed.manifest.target))
    # What keeps a folder from being packed at all was refused before; `--include` may have let it pass.
    return tuple(one for one in found if one.severity != "note" and one.kind not in _INSPECTED)


def _stops(finding: Finding) -> bool:
    replaced = finding.where.partition(":")[0].endswith(_REPLACED)
    return finding.severity == "error" and finding.kind not in _MAY_WORK and not replaced


def app_facts(report: AppReport) -> dict[str, Any]:
    """Gives a report as facts."""
    bundle, app = report.bundle, shown(report.bundle)
    return {
        "name": bundle.id.name,
        "version": bundle.id.version,
        "digest": bundle.id.digest,
        "new": report.new,
        "app": app.target,
        "framework": app.framework,
        "interface": app.interface,
        "requirements": app.requirements,
        "constraints": app.constraints,
        "versions": app.versions,
        "port": app.port,
        "import_root": app.import_root,
        "workdir": app.workdir,
        "owns": app.owns,
        "websockets": app.websockets,
        "sampled": app.sample is not None,
        "files": [file.path for file in app.files],
        "size": sum(file.size for file in app.files),
        "notes": report.notes,
    }


def app_text(report: AppReport) -> str:
    """Gives a report for people."""
    name = f"{report.bundle.id.name}:{report.bundle.id.version}"
    head = f"packed {name}" if report.new else f"{name} is this app already: nothing was added"
    rows = [[f"  {key}", value] for key, value in [*_rows(shown(report.bundle)), ["digest", report.bundle.id.digest]]]
    return f"{head}\n{table(rows)}\nnext: shipway serve {report.bundle.id.name}"


def shown(bundle: Bundle) -> AppManifest:
    """Gives the manifest of a bundle that is known to be an app's."""
    assert bundle.app is not None
    return bundle.app


def app_page(bundle: Bundle, origin: list[str]) -> str:
    """Gives what `shipway show` prints of an app."""
    app = shown(bundle)
    head = [["bundle", str(bundle.id)], *_rows(app), origin]
    files = [[f"  {file.path}", f"{file.size:,}", file.digest[7:19]] for file in app.files]
    requirements = [[f"  {text}"] for text in app.requirements] or [["  none"]]
    parts = [table(head), "Requirements\n" + table(requirements)]
    if app.sample:
        parts.append(f"Sample request\n  {app.sample.method} {app.sample.path}: {app.sample.status}")
    return "\n\n".join([*parts, "Files\n" + table(files, ["  PATH", "BYTES", "DIGEST"])])


def _rows(app: AppManifest) -> list[list[str]]:
    names = [file.path.partition("/")[2] for file in app.files]
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    sample = f"{app.sample.method} {app.sample.path} answered {app.sample.status}" if app.sample else "none given"
    rows = [
        ["app", f"{app.target} ({app.framework}, {app.interface.upper()}{', WebSockets' if app.websockets else ''})"],
        ["files", f"{', '.join(names[:_SHOWN_FILES])}{more}: {sum(file.size for file in app.files):,} bytes"],
        ["needs", ", ".join(app.requirements) or "nothing"],
        ["constrained", ", ".join(app.constraints)],
        ["import root", app.import_root],
        ["container", f"folder {app.workdir}, port {app.port}"],
        ["its own paths", ", ".join(app.owns)],
        ["variables", ", ".join(sorted(app.environment))],
        ["sample", sample],
    ]
    return [row for row in rows if row[1]]
