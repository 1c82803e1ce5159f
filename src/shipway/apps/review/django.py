"""Settings of a Django project that do not go together with production."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from shipway.apps.review.finding import Finding, place
from shipway.apps.review.program import Program, text, walk
from shipway.apps.source import Module

__all__ = ["check_django"]

_SETTINGS = frozenset({"INSTALLED_APPS", "MIDDLEWARE", "ROOT_URLCONF"})
_STATIC = "django.contrib.staticfiles"
_WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"


def check_django(program: Program) -> Iterator[Finding]:
    """Finds them in every module that is a project's settings."""
    for module in program.modules:
        names = dict(_assigned(module))
        if names.keys() & _SETTINGS:
            yield from _hosts(module, names)
            yield from _static(module, names)
            yield from _database(module, names)


def _assigned(module: Module) -> Iterator[tuple[str, ast.expr]]:
    for node in module.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                yield name, value
            case _:
                pass


def _hosts(module: Module, names: Mapping[str, ast.expr]) -> Iterator[Finding]:
    hosts = names.get("ALLOWED_HOSTS")
    if isinstance(hosts, ast.List | ast.Tuple) and not hosts.elts:
        what = "ALLOWED_HOSTS is empty: with debug mode off, every call gets 400"
        fix = 'write ALLOWED_HOSTS = ["www.example.org"], the names under which it is called'
        yield Finding("allowed-hosts", place(module.file, hosts.lineno), what, fix, "error")


def _static(module: Module, names: Mapping[str, ast.expr]) -> Iterator[Finding]:
    apps, middleware = names.get("INSTALLED_APPS"), names.get("MIDDLEWARE")
    if (
        apps is not None
        and _names(apps, _STATIC)
        and not (middleware is not None and _names(middleware, "whitenoise."))
    ):
        what = "nothing serves the static files: with debug mode off, Django does not"
        fix = f'add whitenoise to the requirements and "{_WHITENOISE}" to MIDDLEWARE, and set STATIC_ROOT'
        yield Finding("static-files", place(module.file, apps.lineno), what, fix, "note")


def _database(module: Module, names: Mapping[str, ast.expr]) -> Iterator[Finding]:
    databases = names.get("DATABASES")
    for node in walk(databases) if databases is not None else ():
        if isinstance(node, ast.Constant) and text(node) == "django.db.backends.sqlite3":
            what = "the database is a file beside the app: the container's files are read-only, and each has its own"
            fix = "use a database server, or put the file on a volume"
            yield Finding("writes", place(module.file, node.lineno), what, fix, "warning")


def _names(node: ast.expr, start: str) -> bool:
    return any((text(one) or "").startswith(start) for one in ast.walk(node))
