"""`shipway show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shipway.cli.apps import app_page
from shipway.cli.output import table
from shipway.cli.session import Session, complete_reference, verb

if TYPE_CHECKING:
    from shipway.bundle.bundle import Bundle
    from shipway.spec.manifest import Golden, LinearFormula
    from shipway.spec.signature import Column, Signature

__all__ = ["command", "compiled_text", "formula_text", "golden_text"]


@verb("show", example="shipway show diabetes\nshipway show diabetes:1 --json")
@click.argument("ref", shell_complete=complete_reference)
def command(session: Session, ref: str) -> None:
    """Shows what the bundle REF holds: model, signature, files, and the formula of a linear model; or the app."""
    import msgspec

    bundle = session.bundle(ref)
    facts = {
        "name": bundle.id.name,
        "version": bundle.id.version,
        "digest": bundle.id.digest,
        "notes": dict(bundle.notes),
        "manifest": msgspec.to_builtins(bundle.manifest),
    }
    session.out.facts(facts, app_page(bundle, _origin_row(bundle)) if bundle.app else _text(bundle))


def compiled_text(bundle: Bundle) -> str:
    """Says whether there is a compiled form, and how well it agrees or why not."""
    if bundle.model.compiled:
        return bundle.notes.get("agreement", "to ONNX")
    if bundle.model.framework == "onnx":
        return "no need: it is ONNX already"
    return f"no: {bundle.notes.get('not-compiled', 'the reason was not noted')}"


def golden_text(golden: Golden) -> str:
    """Says how many golden rows there are and where they come from."""
    return f"{golden.rows}, {'drawn by a seeded generator' if golden.synthetic else 'from the sample'}"


def formula_text(formula: LinearFormula, names: tuple[str, ...], most: int = 30) -> str:
    """Gives a linear model as a formula with its coefficients, a term a line."""
    lines = []
    for output, coefficients, intercept in zip(formula.outputs, formula.coefficients, formula.intercepts, strict=True):
        width = max(len(output), 12)
        lines.append(f"{output.rjust(width)} = {intercept:.6g}")
        for name, coefficient in list(zip(names, coefficients, strict=True))[:most]:
            sign = "-" if coefficient < 0 else "+"
            lines.append(f"{' ' * width} {sign} {abs(coefficient):.6g} * {name}")
        if len(names) > most:
            lines.append(f"{' ' * width} + {len(names) - most} more terms")
    return "\n".join(lines)


def _text(bundle: Bundle) -> str:
    manifest = bundle.model
    head = [
        ["bundle", str(bundle.id)],
        ["model", f"{manifest.kind} ({manifest.framework}, Python {manifest.python})"],
        ["versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())],
        ["compiled", compiled_text(bundle)],
        ["golden rows", golden_text(manifest.golden)],
        _origin_row(bundle),
    ]
    parts = [table(head), _signature_text(manifest.signature)]
    if manifest.formula:
        parts.append("Formula\n" + formula_text(manifest.formula, manifest.signature.names))
    files = [[f"  {file.path}", f"{file.size:,}", file.digest[7:19]] for file in manifest.files]
    parts.append("Files\n" + table(files, ["  PATH", "BYTES", "DIGEST"]))
    return "\n\n".join(parts)


def _origin_row(bundle: Bundle) -> list[str]:
    notes = bundle.notes
    if "pulled" in notes:
        return ["pulled", f"from {notes['pulled']}" + (f", as {notes['packed-as']}" if "packed-as" in notes else "")]
    return ["packed", f"{notes.get('created', 'unknown')} by Shipway {notes.get('shipway', 'unknown')}"]


def _signature_text(signature: Signature) -> str:
    inputs = table(
        [_column_row(column) for column in signature.inputs], ["  NAME", "DTYPE", "SHAPE", "KIND", "MISSING", "VALUES"]
    )
    methods = [
        [
            f"  {method.name}",
            ", ".join(f"{output.name} {output.dtype}{list(output.shape) or ''}" for output in method.outputs),
        ]
        for method in signature.methods
    ]
    return f"Inputs\n{inputs}\n\nMethods\n{table(methods)}"


def _column_row(column: Column) -> list[str]:
    values = (
        ", ".join(map(str, column.categories[:6])) + (" …" if len(column.categories) > 6 else "")
        if column.categories
        else ""
    )
    shape = str(list(column.shape)) if column.shape else "-"
    return [f"  {column.name}", column.dtype, shape, column.kind, "allowed" if column.nullable else "no", values]
