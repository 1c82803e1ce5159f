"""`shipway pack`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shipway.cli.apps import AppOptions, app_facts, app_text, holds_app, pack_folder
from shipway.cli.output import table
from shipway.cli.session import Session, verb
from shipway.cli.show import compiled_text, golden_text

if TYPE_CHECKING:
    from shipway.bundle.pack import PackReport

__all__ = ["command", "report_facts"]


@verb(
    "pack",
    example="shipway pack model.joblib --name diabetes --sample train.csv --target progression\n"
    "shipway pack ./my-flask-app --name diabetes-app --sample request.json",
)
@click.argument("model", metavar="MODEL|FOLDER", type=click.Path(path_type=Path))
@click.option("--name", required=True, metavar="NAME", help="What the model is called from now on.")
@click.option(
    "--sample",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Rows of the training data: CSV, JSON or JSONL. Of an app: a request in JSON.",
)
@click.option("--target", metavar="COLUMN", help="The sample's column that the model predicts.")
@click.option(
    "--code",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Folder with modules that a pickle needs.",
)
@click.option("--trust", is_flag=True, help="Open a pickle although its scan shows a dangerous call.")
@click.option("--app", metavar="M:OBJECT", help="The object of a web app, where the source does not say which.")
@click.option("--include", multiple=True, metavar="FILE", help="Take a file of an app that is ignored, or a secret.")
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default="60",
    metavar="SECONDS",
    help="How long an app's import and its sample may take.",
)
@click.option("--compare", is_flag=True, help="Measure an app beside the model in it, served by itself.")
@click.option("--new-version", is_flag=True, help="Count the version up although the content is the same.")
def command(
    session: Session,
    model: Path,
    name: str,
    sample: Path | None,
    target: str | None,
    code: tuple[Path, ...],
    trust: bool,
    app: str | None,
    include: tuple[str, ...],
    seconds: float,
    compare: bool,
    new_version: bool,
) -> None:
    """Makes MODEL, a file or folder as its framework wrote it, or the FOLDER of a web app, a bundle in the store."""
    if app or holds_app(model):
        what = f"a web app, and {model} is no model"
        _refuse(what, {"--target": target, "--code": code, "--trust": trust})
        _pack_app(session, model, name, AppOptions(app, sample, include, seconds, new_version), compare=compare)
        return
    _refuse("a model", {"--include": include, "--compare": compare})
    from shipway.bundle.pack import PackRequest, pack
    from shipway.bundle.records import read_sample
    from shipway.errors import UsageError

    missing = next((folder for folder in code if not folder.is_dir()), None)
    if missing:
        raise UsageError(f"--code {missing} is no folder", fix="name the folder that holds the module")
    columns = read_sample(sample) if sample else None
    request = PackRequest(model, name, columns, target, code, trust, new_version)
    report = pack(request, session.store(), say=session.out.say)
    session.out.facts(report_facts(report), _text(report))


def _pack_app(session: Session, folder: Path, name: str, options: AppOptions, *, compare: bool) -> None:
    report = pack_folder(session, folder, name, options)
    facts, text = app_facts(report), app_text(report)
    if compare:
        from shipway.cli.compare import compare_app

        compared = compare_app(session, report.bundle, folder)
        facts["compared"], text = compared.facts, f"{text}\n{compared.text}"
    session.out.facts(facts, text)


def _refuse(what: str, options: Mapping[str, object]) -> None:
    from shipway.errors import UsageError

    for option, value in options.items():
        if value:
            raise UsageError(f"{option} means nothing to {what}", fix="leave it out")


def report_facts(report: PackReport) -> dict[str, Any]:
    """Gives a report as facts."""
    import msgspec

    bundle = report.bundle
    return {
        "name": bundle.id.name,
        "version": bundle.id.version,
        "digest": bundle.id.digest,
        "new": report.new,
        "framework": bundle.model.framework,
        "kind": bundle.model.kind,
        "evidence": report.evidence,
        "compiled": bundle.model.compiled is not None,
        "agreement": report.agreement,
        "not_compiled": report.not_compiled,
        "versions": bundle.model.versions,
        "size": sum(file.size for file in bundle.manifest.files),
        "golden": msgspec.to_builtins(bundle.model.golden),
        "signature": msgspec.to_builtins(bundle.model.signature),
    }


def _text(report: PackReport) -> str:
    manifest = report.bundle.model
    inputs = ", ".join(column.name for column in manifest.signature.inputs[:8])
    more = len(manifest.signature.inputs) - 8
    rows = [
        ["model", f"{manifest.kind} ({manifest.framework})"],
        ["inputs", inputs + (f" and {more} more" if more > 0 else "")],
        ["methods", ", ".join(method.name for method in manifest.signature.methods)],
        ["versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())],
        ["compiled", compiled_text(report.bundle)],
        ["golden rows", golden_text(manifest.golden)],
        ["size", f"{sum(file.size for file in manifest.files):,} bytes"],
        ["digest", report.bundle.id.digest],
    ]
    name = f"{report.bundle.id.name}:{report.bundle.id.version}"
    head = f"packed {name}" if report.new else f"{name} is this model already: nothing was added"
    return f"{head}\n{table([[f'  {key}', value] for key, value in rows])}\nnext: shipway serve {report.bundle.id.name}"
