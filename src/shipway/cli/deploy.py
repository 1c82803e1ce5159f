"""`shipway deploy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from shipway.cli.live import watched
from shipway.cli.release import make_release, release_options
from shipway.cli.session import Session, complete_reference, verb
from shipway.cli.target import carry_out, goes_on, open_target, show_outcome
from shipway.deploy.targets import RUN, find_target

if TYPE_CHECKING:
    from shipway.bundle.bundle import Bundle
    from shipway.deploy.target import Order, Plan, Target

__all__ = ["command"]


@verb(
    "deploy",
    example="shipway deploy diabetes --to kubernetes --image registry.example/diabetes:1\n"
    "shipway deploy diabetes --to kubernetes --image registry.example/diabetes:2 --build --yes\n"
    "shipway deploy diabetes --to kubernetes --image registry.example/diabetes:2 --steps 25,50,100\n"
    "shipway deploy diabetes --to docker --build --port 8000",
)
@click.argument("ref", shell_complete=complete_reference)
@click.option(
    "--to", "target", required=True, type=click.Choice(RUN), metavar="TARGET",
    help=f"Where it shall run: {' or '.join(RUN)}.",
)  # fmt: skip
@click.option("--image", metavar="T", help="The image, as the target can pull it.  [default: REF, if it is oci://…]")
@click.option("--build", is_flag=True, help="Build the image first, and push it to --image.")
@click.option("--base", metavar="BASE", help="With --build: base of the image.")
@click.option("--canary", type=click.IntRange(1, 99), metavar="PERCENT", help="Let only so many of the servers run it.")
@click.option(
    "--steps", metavar="P,P,…", help="Canary in steps, such as 25,50,100: each goes on only while it does no worse."
)
@click.option(
    "--step-seconds", type=click.IntRange(1, 86_400), default=60, show_default=True, metavar="S",
    help="With --steps: how long each is watched.",
)  # fmt: skip
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the difference and end.")
@click.option("--no-rollback", is_flag=True, help="Leave a release that fails as it is, for study.")
@click.option("--force", is_flag=True, help="Take over fields that somebody else has changed.")
@click.option("--no-check", is_flag=True, help="Take the image as named, without asking its registry what it holds.")
@click.option("--insecure", is_flag=True, help="Allow plain HTTP to the image's registry.")
@release_options
def command(
    session: Session,
    ref: str,
    target: str,
    image: str | None,
    build: bool,
    base: str | None,
    canary: int | None,
    steps: str | None,
    step_seconds: int,
    yes: bool,
    dry_run: bool,
    no_rollback: bool,
    force: bool,
    no_check: bool,
    insecure: bool,
    **flags: Any,
) -> None:
    """Releases the bundle REF on a target: shows what changes, asks, and watches until it is healthy."""
    from shipway.deploy.target import Order

    walked = _read_steps(steps, canary, no_rollback=no_rollback)
    bundle = session.bundle(ref)
    named = image or (ref.removeprefix("oci://") if ref.startswith("oci://") else "")
    if build and dry_run:
        chosen = _unbuilt(named)
    else:
        chosen = _choose_image(
            session, bundle, target, named, build=build, base=base, check=not no_check, insecure=insecure
        )
    release, settings = make_release(session, bundle, chosen, target, flags)
    with open_target(session, target, settings) as place:
        order = Order(release, canary=walked[0] if walked else canary, force=force)
        plan = place.plan(order)
        # Steps go on from where they were broken off.
        if not goes_on(session, plan, "runs this already", yes=yes, dry_run=dry_run, also_empty=bool(walked)):
            return
        if walked:
            _walk(session, place, order, walked, plan, step_seconds)
            return
        carry_out(session, place, plan, restore=not no_rollback)
        if canary is not None:
            promote, rollback = place.command("promote", plan.name), place.command("rollback", plan.name)
            session.out.say(f"next: {promote} lets it replace the old version, {rollback} ends it")


def _read_steps(steps: str | None, canary: int | None, *, no_rollback: bool) -> tuple[int, ...]:
    """Gives the steps of a canary; none where there is no `--steps`."""
    from shipway.deploy.canary import read_steps
    from shipway.errors import UsageError

    if steps is None:
        return ()
    if canary is not None:
        raise UsageError("--canary and --steps cannot both be", fix="--steps 25,50,100 begins with a canary of 25 %")
    if no_rollback:
        raise UsageError("--steps takes back what is worse by itself", fix="--canary 25 --no-rollback leaves it there")
    return read_steps(steps)


def _walk(session: Session, place: Target, order: Order, steps: tuple[int, ...], plan: Plan, seconds: int) -> None:
    from dataclasses import replace

    from shipway.deploy.canary import walk

    with watched(session.out, plan) as live:

        def say(sentence: str) -> None:
            live.settle()
            session.out.say(sentence)

        outcome = walk(place, order, steps, seconds=seconds, tell=live, say=say)
    show_outcome(session, replace(plan, reason=f"deploy in steps of {', '.join(map(str, steps))} %"), outcome)


def _unbuilt(named: str) -> str:
    """Gives the image that a dry run shows, for which nothing is built."""
    from shipway.errors import UsageError

    if not named:
        raise UsageError("--dry-run builds no image, and none is named", fix="--image NAME of one that is there")
    return named


def _choose_image(
    session: Session,
    bundle: Bundle,
    target: str,
    named: str,
    *,
    build: bool,
    base: str | None,
    check: bool,
    insecure: bool,
) -> str:
    """Gives the image to release, by digest where its registry could be asked.

    Raises:
        UsageError: none is named, or it holds another bundle.
    """
    from shipway.errors import UsageError

    if not find_target(target).pulls:
        return _local_image(session, bundle, named, build=build, base=base)
    if not named:
        raise UsageError(
            "nothing says which image to run", fix="--image registry.example/NAME:TAG; with --build it is made first"
        )
    if build:
        from shipway.cli.build import build_and_push

        return build_and_push(session, bundle, named, base=base, insecure=insecure)
    return _checked(session, bundle, named, insecure=insecure) if check else named


def _checked(session: Session, bundle: Bundle, named: str, *, insecure: bool) -> str:
    """Gives the name with the digest that it has now, so that a tag that moves later changes nothing."""
    from shipway.cli.remote import inspect_image
    from shipway.errors import RemoteError, UsageError
    from shipway.spec.image import ImageReference

    reference = ImageReference.parse(named).for_registry()
    try:
        facts = inspect_image(session, named, insecure=insecure)
    except RemoteError as error:
        raise RemoteError(
            error.message, fix=f"{error.fix + '; ' if error.fix else ''}--no-check takes the name as it is"
        ) from error
    if facts.bundle is None:
        raise UsageError(
            f"{named} is no image of Shipway's", fix=f"shipway build {bundle.id.name} --tag {named} --push"
        )
    if facts.bundle.digest != bundle.id.digest:
        raise UsageError(
            f"{named} holds {facts.bundle}, not {bundle.id}",
            fix=f"deploy oci://{named}, or build it again: --build",
        )
    return str(ImageReference(reference.repository, reference.host, reference.tag, facts.digest))


def _local_image(session: Session, bundle: Bundle, named: str, *, build: bool, base: str | None) -> str:
    """Gives an image that Docker or Podman has, or can pull."""
    from shipway.errors import UsageError
    from shipway.oci.engine import find_engine

    if build:
        from shipway.cli.run import build_for

        return build_for(session, find_engine(), bundle, base, named or None)[0]
    if not named:
        raise UsageError("nothing says which image to run", fix="--build makes one, --image NAME names one")
    return named
