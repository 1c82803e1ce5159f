"""What the verbs of a release share: which target, the plan that is shown, the question, and the watching."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shipway.cli.live import watched
from shipway.cli.output import Output
from shipway.cli.session import Session
from shipway.deploy.targets import RUN

if TYPE_CHECKING:
    from shipway.deploy.target import Change, Outcome, Plan, Record, Target
    from shipway.spec.settings import Deploy

__all__ = [
    "carry_out",
    "change",
    "change_facts",
    "goes_on",
    "on_target",
    "open_target",
    "record_facts",
    "show_outcome",
    "which_release",
]

_MARKS = {"create": ("+", "green"), "update": ("~", "yellow"), "delete": ("-", "red"), "keep": (" ", "dim")}


def on_target(function: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say where a release is: `--on`, `--namespace` and `--context`.

    The function gets a `where`: what was given, by the setting that it stands for.
    """

    @functools.wraps(function)
    def run(session: Session, *, on: str | None, namespace: str | None, context: str | None, **arguments: Any) -> None:
        where = {
            "deploy.target": on,
            "deploy.kubernetes.namespace": namespace,
            "deploy.kubernetes.context": context,
        }
        function(session, where=where, **arguments)

    for option in (
        click.option("--context", metavar="C", help="Kubernetes: which context of kubeconfig.  [default: its current]"),
        click.option("--namespace", metavar="N", help="Kubernetes: where it is.  [default: the context's]"),
        click.option(
            "--on",
            type=click.Choice(RUN),
            metavar="TARGET",
            help=f"Where it runs: {' or '.join(RUN)}.  [default: deploy.target, kubernetes]",
        ),
    ):
        run = option(run)
    return run


def which_release(name: str) -> str:
    """Gives the release that a user means by a model's name: `churn_eu` is released as `churn-eu`.

    Raises:
        UsageError: no release can have that name.
    """
    from shipway.errors import UsageError
    from shipway.spec.release import is_label, release_name

    release = release_name(name.partition(":")[0].partition("@")[0])
    if not is_label(release):
        raise UsageError(f"no release is called {name!r}", fix="shipway status lists those there are")
    return release


@contextmanager
def open_target(session: Session, name: str, settings: Deploy) -> Iterator[Target]:
    """Opens a target for the time of a block.

    Raises:
        UsageError: no releases are run on it, kubeconfig names no such context, or is damaged.
        MissingDependency, MachineError: what the target needs is not here.
    """
    from shipway.deploy.target import Operator
    from shipway.deploy.targets import find_target

    opened = find_target(name).open
    if opened is None:
        raise click.UsageError(f"no releases are run on {name}: {' or '.join(RUN)} can.")
    operator = Operator(session.environ, Path.home(), sys.stdin.isatty(), session.out.warning)
    with opened(settings, operator) as target:
        yield target


def change(
    session: Session,
    where: Mapping[str, Any],
    make: Callable[[Target], Plan],
    *,
    yes: bool,
    dry_run: bool,
) -> None:
    """Makes a plan on the target, shows it, asks, carries it out and says what came of it."""
    settings = session.resolve(where).settings.deploy
    with open_target(session, settings.target, settings) as target:
        plan = make(target)
        if goes_on(session, plan, "is so already", yes=yes, dry_run=dry_run):
            carry_out(session, target, plan)


def goes_on(session: Session, plan: Plan, already: str, *, yes: bool, dry_run: bool, also_empty: bool = False) -> bool:
    """Shows a plan and asks; whether it shall be carried out. What is not is all that there is to say, as facts.

    Args:
        session: of the verb.
        plan: what would be done.
        already: says of a release that there is nothing to do.
        yes: it is not asked.
        dry_run: it is only shown.
        also_empty: a plan that changes nothing is carried out too.

    Raises:
        UsageError: nobody can be asked.
        click.Abort: the answer is no.
    """
    _show_plan(session.out, plan)
    if dry_run or (plan.is_empty and not also_empty):
        session.out.facts(_plan_facts(plan), "" if dry_run else f"{plan.name} {already}: nothing to do")
        return False
    _confirm(plan, yes=yes)
    return True


def carry_out(session: Session, target: Target, plan: Plan, *, restore: bool = True) -> None:
    """Carries a plan out, shows how far it is, and says what came of it."""
    with watched(session.out, plan) as tell:
        outcome = target.carry_out(plan, tell, restore=restore)
    show_outcome(session, plan, outcome)


def _show_plan(out: Output, plan: Plan) -> None:
    """Prints what a plan changes, object by object, with the differences; a new object's text only with `--verbose`."""
    heading = f"{plan.name}: {plan.reason}" + (f" (release {plan.number})" if plan.number else "")
    out.say(out.style(heading, "bold"))
    for one in plan.changes:
        mark, style = _MARKS[one.action]
        out.say(f"  {out.style(f'{mark} {one.action:<6} {one.what}', style)}")
        if one.action != "create" or out.verbose:
            for line in one.difference.splitlines():
                out.say(f"      {_paint(out, line)}")
    for note in plan.notes:
        out.warning(note)


def _confirm(plan: Plan, *, yes: bool) -> None:
    """Asks whether to go on; without a terminal only `--yes` says so.

    Raises:
        UsageError: nobody can be asked.
        click.Abort: the answer is no.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        from shipway.errors import UsageError

        raise UsageError("nobody is here to be asked", fix="--yes goes on without asking, --dry-run only shows")
    click.confirm(f"{plan.reason[:1].upper()}{plan.reason[1:]} now?", abort=True, err=True)


def show_outcome(session: Session, plan: Plan, outcome: Outcome) -> None:
    """Prints what came of a plan."""
    out = session.out
    number = f" (release {outcome.number})" if outcome.number else ""
    lines = [f"{plan.name}: {plan.reason}{number}, done in {outcome.seconds:.0f} s"]
    if outcome.address:
        lines.append(f"reach it: {outcome.address}")
    for note in outcome.notes:
        out.warning(note)
    out.facts({**_plan_facts(plan), **_outcome_facts(outcome)}, "\n".join(lines))


def _outcome_facts(outcome: Outcome) -> dict[str, Any]:
    """Gives an outcome as it stands in `--json`."""
    return {
        "name": outcome.name,
        "release": outcome.number,
        "address": outcome.address,
        "seconds": round(outcome.seconds, 3),
        "notes": list(outcome.notes),
    }


def change_facts(one: Change) -> dict[str, str]:
    """Gives a change as it stands in `--json`."""
    return {"action": one.action, "what": one.what, "difference": one.difference}


def record_facts(record: Record) -> dict[str, Any]:
    """Gives a release of the history as it stands in `--json`."""
    return {
        "release": record.number,
        "bundle": record.bundle,
        "image": record.image,
        "who": record.who,
        "when": record.when.isoformat(),
        "reason": record.reason,
        "result": record.result,
    }


def _plan_facts(plan: Plan) -> dict[str, Any]:
    """Gives a plan as it stands in `--json`."""
    return {
        "name": plan.name,
        "reason": plan.reason,
        "release": plan.number,
        "changes": [change_facts(one) for one in plan.changes],
        "notes": list(plan.notes),
    }


def _paint(out: Output, line: str) -> str:
    style = {"+": "green", "-": "red", "@": "dim"}.get(line[:1])
    return out.style(line, style) if style else line
