"""The part of the page that needs no script: what each model takes and gives, and the commands that ask it."""

from __future__ import annotations

import html
import json
import shlex
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from shipway.spec.example import example_cell, example_record, takes_null
from shipway.spec.served import ServedModel
from shipway.spec.signature import Column, Method

__all__ = ["curl", "reference", "takes"]

_MAX_CATEGORIES = 12
_ROUTES = (
    ("POST /", "asks the default model"),
    ("POST /models/NAME/METHOD", "asks any model, for any of its methods"),
    ("POST /v2/models/NAME/infer", "the same in tensors: Open Inference Protocol"),
    ("GET /readyz", "200 once every model answers"),
    ("GET /livez", "200 as long as the process is not stuck"),
    ("GET /metrics", "figures for Prometheus"),
    ("GET /openapi.json", "all routes, for tools"),
)


def reference(models: Sequence[ServedModel], *, base: str, auth: bool) -> str:
    """Gives the reference as HTML.

    Args:
        models: what the server serves; the first is the default model.
        base: the server's address, without a slash at its end.
        auth: whether calls need an API key.
    """
    articles = "\n".join(_article(model, base=base, auth=auth) for model in models)
    routes = _table(("Route", "What it does"), ((f"<code>{route}</code>", text) for route, text in _ROUTES))
    key = (
        "<p>Every call but health carries an API key: <code>Authorization: Bearer KEY</code>. "
        "<code>shipway keys new --api</code> makes one.</p>"
        if auth
        else ""
    )
    none = "" if models else "<p>No model is served yet.</p>"
    return f'{none}{articles}\n<article class="card"><h3>Routes</h3>{key}{routes}</article>'


def curl(model: ServedModel, method: str, *, base: str, auth: bool) -> str:
    """Gives the command for a POSIX shell that asks `method` of `model` for its example."""
    record = json.dumps(example_record(model.signature), ensure_ascii=False)
    lines = [
        f"curl {shlex.quote(base + _path(model, method))}",
        *(['-H "Authorization: Bearer $SHIPWAY_API_KEY"'] if auth else []),
        "-H 'Content-Type: application/json'",
        f"-d {shlex.quote(record)}",
    ]
    return " \\\n  ".join(lines)


def takes(column: Column) -> str:
    """Says in words what a cell of `column` may be."""
    if column.dtype == "string":
        what = "text"
    elif column.dtype == "bool":
        what = "true or false"
    else:
        what = "number" if column.dtype.startswith("float") else "whole number"
    if not column.is_scalar:
        sizes = " × ".join("any" if size < 0 else str(size) for size in column.shape)
        what = f"array {sizes} of {column.dtype}"
    return f"{what}, may be missing" if takes_null(column) else what


def _article(model: ServedModel, *, base: str, auth: bool) -> str:
    form = "compiled to ONNX" if model.compiled else "original"
    facts = " · ".join(_text(fact) for fact in (f"version {model.id.version}", model.kind, form))
    first = model.signature.methods[0].name
    return f"""<article class="card">
<h3>{_text(model.name)}</h3>
<p class="facts">{facts} · <code title="{_text(model.id.digest)}">{_text(model.id.digest[:19])}</code></p>
{_inputs(model)}
{_methods(model)}
<pre><code>{_text(curl(model, first, base=base, auth=auth))}</code></pre>
</article>"""


def _inputs(model: ServedModel) -> str:
    """Gives the table of inputs; beside a linear model of one output, with the number that each is multiplied by."""
    formula = model.formula
    columns = model.signature.inputs
    head = ("Input", "Takes", "Example")
    if formula is None or len(formula.coefficients) != 1:
        return _table(head, (_cells(column) for column in columns))
    rows = [
        (*_cells(column), _code(f"{coefficient:.6g}"))
        for column, coefficient in zip(columns, formula.coefficients[0], strict=False)
    ]
    rows.append(("<em>intercept</em>", "", "", _code(f"{formula.intercepts[0]:.6g}")))
    return _table((*head, "Coefficient"), rows)


def _cells(column: Column) -> tuple[str, str, str]:
    what = _text(takes(column))
    if column.categories:
        seen = [_code(_json(category)) for category in column.categories[:_MAX_CATEGORIES]]
        more = len(column.categories) - len(seen)
        what += ": " + ", ".join(seen) + (f" and {more} more" if more else "") + "; others are passed on"
    example = example_cell(column)
    return _code(column.name), what, "" if example is None else _code(_json(example))


def _methods(model: ServedModel) -> str:
    rows = ((_code(f"POST {_path(model, method.name)}"), _gives(method)) for method in model.signature.methods)
    return _table(("Route", "Gives"), rows)


def _gives(method: Method) -> str:
    if len(method.outputs) != 1:
        return "an object of " + ", ".join(_code(column.name) for column in method.outputs)
    what = _text(takes(method.outputs[0]))
    if method.classes is None:
        return what
    classes = ", ".join(_code(_json(label)) for label in method.classes[:_MAX_CATEGORIES])
    return f"{what}; classes {classes}" + (" …" if len(method.classes) > _MAX_CATEGORIES else "")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Gives a table of cells that are HTML already."""
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def _path(model: ServedModel, method: str) -> str:
    return f"/models/{model.name}/{quote(method, safe='')}"


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
