"""`shipway status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from shipway.cli.live import summary
from shipway.cli.output import Output, count, table
from shipway.cli.session import Session, verb
from shipway.cli.target import change_facts, on_target, open_target, record_facts, which_release

if TYPE_CHECKING:
    from shipway.deploy.target import Record, Status, Target

__all__ = ["command"]


@verb("status", example="shipway status\nshipway status diabetes --namespace models\nshipway status diabetes --json")
@click.argument("name", required=False)
@on_target
def command(session: Session, name: str | None, where: Mapping[str, Any]) -> None:
    """Says how the release NAME is: servers, history, what was changed by hand. Without NAME it lists all releases."""
    settings = session.resolve(where).settings.deploy
    with open_target(session, settings.target, settings) as target:
        if name is None:
            _list(session, target)
            return
        release = which_release(name)
        status, history = target.status(release), target.history(release)
    session.out.facts(_facts(status, history), _text(session.out, status, history))


def _list(session: Session, target: Target) -> None:
    found = [target.status(name) for name in target.names()]
    rows = [
        (one.name, _short(one.current.bundle), str(one.current.number), summary(one.progress), one.address)
        for one in found
    ]
    text = table(rows, ("name", "bundle", "release", "servers", "address")) if rows else "no releases here"
    session.out.facts([_facts(one, ()) for one in found], text)


def _facts(status: Status, history: Sequence[Record]) -> dict[str, Any]:
    progress = status.progress
    return {
        "name": status.name,
        "place": status.place,
        "current": record_facts(status.current),
        "canary": record_facts(status.canary) if status.canary else None,
        "share": status.share,
        "ready": progress.ready,
        "wanted": progress.wanted,
        "instances": [
            {"name": i.name, "track": i.track, "ready": i.ready, "state": i.state, "restarts": i.restarts}
            for i in progress.instances
        ],
        "cause": progress.cause
        and {
            "kind": progress.cause.kind,
            "what": progress.cause.what,
            "why": progress.cause.why,
            "fix": progress.cause.fix,
        },
        "address": status.address,
        "edited": [change_facts(one) for one in status.edited],
        "notes": list(status.notes),
        "history": [record_facts(record) for record in history],
    }


def _text(out: Output, status: Status, history: Sequence[Record]) -> str:
    current, progress = status.current, status.progress
    lines = [
        table(
            [
                ("release", f"{status.name} {current.number}: {current.bundle}"),
                ("image", current.image),
                ("place", status.place),
                ("servers", summary(progress)),
                *([("canary", f"{_short(status.canary.bundle)}, {status.share:.0f} %")] if status.canary else []),
                *([("reach it", status.address)] if status.address else []),
            ]
        )
    ]
    if progress.instances:
        rows = [
            (i.name, i.track, i.state, count(i.restarts, "restart") if i.restarts else "") for i in progress.instances
        ]
        lines.append(table(rows))
    if progress.cause:
        lines.append(f"{progress.cause.what}: {progress.cause.why}\nfix: {progress.cause.fix}")
    if status.edited:
        changed = ", ".join(one.what for one in status.edited)
        lines.append(f"changed by hand: {changed}")
        lines += [one.difference.rstrip("\n") for one in status.edited if one.difference]
    lines.append(
        table(
            [
                (str(r.number), _short(r.bundle), r.when.strftime("%Y-%m-%d %H:%M"), r.who, r.reason, r.result)
                for r in history
            ],
            ("release", "bundle", "when (UTC)", "who", "why", "result"),
        )
    )
    for note in status.notes:
        out.warning(note)
    return "\n\n".join(line for line in lines if line)


def _short(bundle: str) -> str:
    return bundle.partition("@")[0]
