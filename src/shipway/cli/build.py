"""`shipway build`."""

from __future__ import annotations

import functools
import platform as machine
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shipway.cli.output import table
from shipway.cli.session import Session, complete_reference, verb

if TYPE_CHECKING:
    from shipway.bundle.bundle import Bundle
    from shipway.image.base import BaseImage
    from shipway.image.build import Image
    from shipway.image.cache import Cache
    from shipway.image.lock import Lock
    from shipway.spec.image import ImageReference, Platform

__all__ = ["build_and_push", "command", "make_image"]


@verb(
    "build",
    example="shipway build diabetes --tag registry.example/diabetes:1 --push\n"
    "shipway build diabetes --tag diabetes:1 --output diabetes.tar\n"
    "shipway build diabetes --tag diabetes:1 --load\n"
    "shipway build diabetes --tag diabetes:1 --dockerfile context",
)
@click.argument("ref", shell_complete=complete_reference)
@click.option("--tag", required=True, metavar="T", help="What the image is called.")
@click.option(
    "--base", metavar="BASE", help="oci:FOLDER[:TAG], FILE.tar or REGISTRY/NAME:TAG.  [default: Docker's python:X-slim]"
)
@click.option(
    "--platform",
    "platforms",
    default="linux/amd64",
    metavar="P,...",
    help="linux/amd64, linux/arm64 or both.",
    show_default=True,
)
@click.option("--python", metavar="X.Y", help="Python of the default base.  [default: the one that packed the bundle]")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR|FILE.tar",
    help="Write it there: an OCI layout or an archive.",
)
@click.option("--load", is_flag=True, help="Give it to Docker or Podman.")
@click.option("--push", is_flag=True, help="Push it to the registry that the tag names; only what is missing there.")
@click.option(
    "--dockerfile",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a context for docker build instead.",
)
@click.option("--with-dockerfile", is_flag=True, help="Let Docker build an app's own Dockerfile; says what is lost.")
@click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Use this lock, or write it if it is not there.",
)
@click.option("--check", is_flag=True, help="Build twice, apart, and compare the digests.")
@click.option(
    "--max-size",
    type=click.FloatRange(min=0),
    metavar="MB",
    help="Fail if it adds more than this to its base, compressed.",
)
@click.option("--insecure", is_flag=True, help="Allow plain HTTP to the registries.")
def command(
    session: Session,
    ref: str,
    tag: str,
    base: str | None,
    platforms: str,
    python: str | None,
    output: Path | None,
    load: bool,
    push: bool,
    dockerfile: Path | None,
    with_dockerfile: bool,
    lock: Path | None,
    check: bool,
    max_size: float | None,
    insecure: bool,
) -> None:
    """Makes an image of REF without Docker: base, locked dependencies, Shipway and the bundle, a layer each."""
    from shipway.cli.own_dockerfile import build_own
    from shipway.cli.remote import push_facts, push_images, push_text
    from shipway.errors import UsageError
    from shipway.image.build import check_size
    from shipway.spec.image import ImageReference, Platform

    name = ImageReference.parse(tag).tagged
    if push:
        name.for_registry()
    if with_dockerfile:
        if output or push or dockerfile or check or base or lock or python or max_size is not None:
            raise UsageError("--with-dockerfile lets Docker build, by its own rules", fix="give it with --tag alone")
        build_own(session, session.bundle(ref), str(name))
        return
    targets = [Platform.parse(text.strip()) for text in platforms.split(",")]
    if not (output or load or push or dockerfile or check):
        raise UsageError(
            "nothing says where the image goes", fix="--push, --output FILE.tar, --load, or --dockerfile DIR"
        )
    if dockerfile and (output or load or push or check or base or lock):
        raise UsageError(
            "--dockerfile writes a context and builds nothing", fix="give it with --tag and --python alone"
        )
    if lock and len(targets) > 1:
        raise UsageError("a lock is of one platform", fix="build each platform with a --lock of its own")
    bundle = session.bundle(ref)
    if dockerfile:
        _write_context(session, bundle, dockerfile, python, tag)
        return
    built = [
        make_image(session, bundle, target, base=base, python=python, lock_file=lock, insecure=insecure)
        for target in targets
    ]
    for one in built:
        if check:
            _check(session, bundle, one)
        if max_size is not None:
            check_size(one.image, int(max_size * 1e6))
    images = [one.image for one in built]
    written = _write(session, images, name, output, load=load)
    if output and not lock:
        written += _write_locks(built, output)
    facts: dict[str, Any] = {"tag": str(name), "written": written, "images": [_facts(image) for image in images]}
    texts = [_text(image) for image in images]
    if push:
        pushed = push_images(session, images, name, [one.base for one in built], insecure=insecure)
        facts["pushed"] = push_facts(name, pushed)
        texts.append(push_text(name, pushed))
    session.out.facts(facts, "\n\n".join(texts))


def build_and_push(
    session: Session,
    bundle: Bundle,
    tag: str,
    *,
    platforms: Sequence[str] = ("linux/amd64",),
    base: str | None = None,
    insecure: bool = False,
) -> str:
    """Builds the image of a bundle and pushes it to the registry that its tag names.

    Returns:
        Its reference by digest, `host/repository@sha256:…`: what was built, wherever the tag moves.

    Raises:
        UsageError: the tag names no registry, or there is no base image.
        RemoteError: the registry refuses.
    """
    from shipway.cli.remote import by_digest, push_images
    from shipway.spec.image import ImageReference, Platform

    name = ImageReference.parse(tag).for_registry()
    built = [make_image(session, bundle, Platform.parse(text), base=base, insecure=insecure) for text in platforms]
    images, bases = [one.image for one in built], [one.base for one in built]
    return by_digest(name, push_images(session, images, name, bases, insecure=insecure))


@dataclass(frozen=True, slots=True)
class Built:
    """An image with what it was built from."""

    image: Image
    base: BaseImage
    lock: Lock


def make_image(
    session: Session,
    bundle: Bundle,
    platform: Platform,
    *,
    base: str | None = None,
    python: str | None = None,
    lock_file: Path | None = None,
    insecure: bool = False,
) -> Built:
    """Builds the image of a bundle for one platform."""
    from shipway.image.build import build, lock_note
    from shipway.image.cache import Cache
    from shipway.image.lock import Lock, check_lock
    from shipway.image.requirements import needs_of, resolve
    from shipway.oci.files import write_whole
    from shipway.spec.contract import Contract
    from shipway.spec.surroundings import surroundings_of

    cache = Cache(session.cache_path)
    base_image = _base(session, base, python or bundle.manifest.python, platform, cache, insecure=insecure)
    _check_python(bundle, base_image)
    session.out.say(
        f"base {base_image.name or base_image.digest[:19]}: Python {base_image.facts.python_version},"
        f" {base_image.facts.distribution}, {platform}"
    )
    needs = needs_of(bundle)
    if lock_file and lock_file.is_file():
        lock = Lock.parse(lock_file.read_text(encoding="utf-8"), base_image.target)
        check_lock(lock, needs.pins)
    else:
        session.out.say("resolving the dependencies")
        lock = resolve(needs, base_image.target, cache, lock_note(base_image))
        if lock_file:
            write_whole(lock_file, lock.text.encode())
    session.out.say(f"dependencies: {', '.join(f'{wheel.name} {wheel.version}' for wheel in lock.wheels)}")
    if moved := needs.moved(lock):
        session.out.say(f"in another version than here, where that does not fit: {', '.join(moved)}")
    if bundle.app:
        for note in surroundings_of(bundle.app).notes:
            session.out.say(note)
    image = build(bundle, Contract.of(bundle.manifest), base_image, lock, cache)
    return Built(image, base_image, lock)


def _base(
    session: Session, base: str | None, python: str, platform: Platform, cache: Cache, *, insecure: bool
) -> BaseImage:
    """Reads the base that is named; a name without a registry, and the default, are asked of Docker or Podman."""
    from shipway.cli.remote import find_login
    from shipway.errors import MachineError, UsageError
    from shipway.image.base import read_base
    from shipway.oci.engine import find_engine
    from shipway.oci.transfer import make_pull

    named = base or session.resolve().settings.build.base
    reference = named or f"python:{python}-slim"
    pull = make_pull(functools.partial(find_login, session), insecure=insecure)
    is_name = (
        not reference.startswith(("oci:", ".", "~", "/", "\\"))
        and not Path(reference).exists()
        and ".tar" not in reference
    )
    if not is_name or "/" in reference:
        return read_base(
            str(Path(reference).expanduser()) if Path(reference).exists() else reference, platform, cache, pull
        )
    fix = "--base REGISTRY/NAME:TAG, --base FILE.tar or --base oci:FOLDER; [build] base sets it for good"
    try:
        engine = find_engine()
    except MachineError as error:
        raise UsageError(f"no base image at hand: {error.message}", fix=fix) from error
    if not engine.has(reference):
        session.out.say(f"{engine.tool} pull {reference}")
        if not engine.pull(reference):
            raise UsageError(f"no base image at hand: {engine.tool} has no {reference} and cannot pull it", fix=fix)
    with tempfile.TemporaryDirectory(prefix="shipway-base-") as folder:
        archive = Path(folder) / "base.tar"
        engine.save(reference, archive)
        return read_base(str(archive), platform, cache, pull)


def _check_python(bundle: Bundle, base: BaseImage) -> None:
    from shipway.errors import VersionMismatch

    if bundle.app or bundle.model.compiled or not bundle.model.pickled:
        return
    if base.facts.python_version != bundle.manifest.python:
        raise VersionMismatch(
            f"the base has Python {base.facts.python_version}; the model's pickle is of {bundle.manifest.python}",
            fix=f"use a base with Python {bundle.manifest.python}",
        )


def _check(session: Session, bundle: Bundle, built: Built) -> None:
    """Builds again with nothing of the first build but the wheels, and compares."""
    from shipway.errors import MachineError
    from shipway.image.build import build
    from shipway.image.cache import Cache
    from shipway.spec.contract import Contract

    first = Cache(session.cache_path)
    with tempfile.TemporaryDirectory(prefix="shipway-check-") as folder:
        second = Cache(Path(folder))
        for wheel in built.lock.wheels:  # a wheel that was made here of a source archive is made again
            copy = second.wheel(wheel.sha256, wheel.filename)
            copy.parent.mkdir(parents=True)
            shutil.copyfile(first.wheel(wheel.sha256, wheel.filename), copy)
        again = build(bundle, Contract.of(bundle.manifest), built.base, built.lock, second)
    if again.descriptor.digest != built.image.descriptor.digest:
        raise MachineError(
            f"two builds gave {built.image.descriptor.digest} and {again.descriptor.digest}", fix="tell us"
        )
    session.out.say(f"built twice, the same digest: {built.image.descriptor.digest}")


def _write(
    session: Session, images: list[Image], name: ImageReference, output: Path | None, *, load: bool
) -> list[str]:
    from shipway.image.output import load as load_image
    from shipway.image.output import write_archive, write_layout
    from shipway.oci.engine import find_engine

    written = []
    if output and output.suffix == ".tar":
        output.parent.mkdir(parents=True, exist_ok=True)
        write_archive(images, output, name)
    elif output:
        write_layout(images, output, name)
    if output:
        written.append(str(output))
        session.out.say(f"written to {output}")
    if load:
        engine = find_engine()
        load_image(_own(images), name, engine.tool)
        written.append(engine.tool)
        session.out.say(f"loaded into {engine.tool}: {engine.tool} run --rm -p 8000:8000 {name}")
    return written


def _write_locks(built: list[Built], output: Path) -> list[str]:
    """Writes each lock beside the output: with it, `--lock` gives the same digest on another machine."""
    from shipway.oci.files import write_whole

    written = []
    for one in built:
        architecture = f".{one.image.platform.architecture}" if len(built) > 1 else ""
        place = output.with_name(f"{output.name}{architecture}.lock")
        write_whole(place, one.lock.text.encode())
        written.append(str(place))
    return written


def _own(images: list[Image]) -> Image:
    """Gives the image that runs on this machine."""
    own = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(machine.machine(), "")
    return next((image for image in images if image.platform.architecture == own), images[0])


def _write_context(session: Session, bundle: Bundle, folder: Path, python: str | None, tag: str) -> None:
    from shipway.image.cache import Cache
    from shipway.image.dockerfile import context
    from shipway.image.lock import Target
    from shipway.image.requirements import needs_of, resolve
    from shipway.spec.contract import Contract
    from shipway.spec.image import Platform

    version = python or bundle.manifest.python
    # The official slim images of every supported Python have at least this C library.
    target = Target(version, Platform.parse("linux/amd64"), (2, 36))
    lock = resolve(needs_of(bundle), target, Cache(session.cache_path))
    for path, source in context(bundle, Contract.of(bundle.manifest), lock, version).items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
    session.out.facts({"context": str(folder)}, f"written to {folder}\nnext: docker build --tag {tag} {folder}")


def _facts(image: Image) -> dict[str, Any]:
    return {
        "digest": image.descriptor.digest,
        "id": image.image_id,
        "platform": str(image.platform),
        "size_bytes": image.size,
        "over_base_bytes": image.size_over_base,
        "layers": [
            {
                "title": layer.title,
                "digest": layer.descriptor.digest,
                "diff_id": layer.diff_id,
                "size_bytes": layer.descriptor.size,
            }
            for layer in image.layers
        ],
    }


def _text(image: Image) -> str:
    rows = [
        [f"  {layer.title}", f"{layer.descriptor.size / 1e6:,.1f} MB", layer.descriptor.digest[7:19]]
        for layer in image.layers
    ]
    rows.append(["  over the base", f"{image.size_over_base / 1e6:,.1f} MB", ""])
    return f"image {image.descriptor.digest} ({image.platform})\n{table(rows)}"
