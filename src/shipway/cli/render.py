"""`shipway render`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from shipway.cli.release import make_release, render_options, target_flags
from shipway.cli.session import Session, complete_reference, verb
from shipway.deploy.targets import RENDERED, TARGETS, Kind

__all__ = ["command"]


@verb(
    "render",
    example="shipway render diabetes --to kubernetes --image registry.example/diabetes:1 --output manifests\n"
    "shipway render diabetes --to kubernetes --image registry.example/diabetes:1 | kubectl apply -f -\n"
    "shipway render --rbac --namespace models | kubectl apply -f -",
)
@click.argument("ref", required=False, shell_complete=complete_reference)
@click.option("--to", "target", metavar="TARGET", help=f"Where it shall run: {' or '.join(RENDERED)}.")
@click.option("--image", metavar="T", help="The image, as the target's nodes can pull it.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Write files there instead of printing.")
@click.option("--rbac", is_flag=True, help="Instead, write the rights that deploy needs in a namespace.")
@click.option("--account", metavar="NAME", help="With --rbac: the account that gets them.  [default: shipway]")
@render_options
def command(
    session: Session,
    ref: str | None,
    target: str | None,
    image: str | None,
    output: Path | None,
    rbac: bool,
    account: str | None,
    **flags: Any,
) -> None:
    """Writes the files that run the bundle REF on a target, to be read, kept in git and applied."""
    if rbac:
        _refuse(flags, {"namespace"}, REF=ref, to=target, image=image)
        _write(session, TARGETS["kubernetes"], _rights(session, flags, account), output)
        return
    _refuse({}, set(), account=account)
    if ref is None or target is None or image is None:
        missing = "argument 'REF'" if ref is None else "option '--to'" if target is None else "option '--image'"
        raise click.UsageError(f"Missing {missing}.")
    from shipway.deploy.targets import find_target, render

    kind = find_target(target)
    release, deploy = make_release(session, session.bundle(ref), image, target, flags)
    _write(session, kind, render(release, target, deploy), output, name=release.name)


def _rights(session: Session, flags: Mapping[str, Any], account: str | None) -> Mapping[str, str]:
    from shipway.deploy.targets import render_rbac

    options = session.resolve(target_flags("kubernetes", flags)).settings.deploy.kubernetes
    return render_rbac(options, account)


def _refuse(flags: Mapping[str, Any], allowed: set[str], **others: Any) -> None:
    """Refuses what was given and would count for nothing with, or without, --rbac.

    Raises:
        click.UsageError: with the option.
    """
    for name, value in {**others, **flags}.items():
        if name not in allowed and value is not None and value != ():
            option = name if name.isupper() else f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} counts for nothing here.")


def _write(session: Session, kind: Kind, files: Mapping[str, str], output: Path | None, **facts: Any) -> None:
    """Prints the files, or writes them into a folder and says how to apply it."""
    from shipway.deploy.files import write_files
    from shipway.deploy.kubernetes.objects.render import KUSTOMIZATION

    facts |= {"folder": output and str(output), "files": files}
    if output is None:
        # `kubectl apply -f -` takes objects of the cluster only.
        texts = (text for name, text in files.items() if name != KUSTOMIZATION)
        session.out.facts(facts, "---\n".join(texts).rstrip("\n"))
        return
    session.out.facts(facts, "\n".join(map(str, write_files(files, output))))
    if kind.apply is not None:
        session.out.say(f"next: {kind.apply(output, files)}")
