"""`shipway demo`."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shipway.cli.session import Session, verb

if TYPE_CHECKING:
    from shipway.bundle.bundle import Bundle

__all__ = ["command"]

_NAME = "diabetes"
_TARGET = "progression"
_START_SECONDS = 60.0


@verb("demo", example="shipway demo\nshipway demo --once --output demo-out", facts=False)
@click.option("--once", is_flag=True, help="End by itself instead of serving until Ctrl-C.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-out"),
    show_default=True,
    metavar="DIR",
    help="Where the files go.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Where it serves.")
@click.option("--base", metavar="BASE", help="Base image for the image, as for shipway build.")
def command(session: Session, once: bool, output: Path, port: int, base: str | None) -> None:
    """Trains a linear regression on real data, packs, serves and asks it, builds its image, writes its manifests."""
    output.mkdir(parents=True, exist_ok=True)
    step = _Steps(session)
    step("Train: least squares on scikit-learn's diabetes data (442 patients, 10 columns)")
    record, expected = _train(output)
    step.note(f"wrote {output / 'model.joblib'} and {output / 'train.csv'}")

    step("Pack: the model becomes a bundle in the store")
    step.typed(
        f"shipway pack {output / 'model.joblib'} --name {_NAME} --sample {output / 'train.csv'} --target {_TARGET}"
    )
    bundle = _pack(session, output)
    _show(step, bundle)

    step("Serve, and ask")
    with _server(session, port) as (process, address):
        step.typed(
            f"shipway serve {_NAME}" + ("" if address.endswith(":8000") else f" --port {address.rpartition(':')[2]}")
        )
        step.note(f"serving on {address}  (the page: {address}/)")
        _ask(step, address, record, expected)

        step("Image: base, dependencies, Shipway and the model, a layer each; without Docker")
        image = f"{_NAME}:{bundle.id.version}"
        _build(session, step, bundle, output, image, base)

        step("Kubernetes: a Deployment of 3 replicas and a Service of type LoadBalancer")
        step.typed(
            f"shipway render {_NAME} --to kubernetes --image {image} --service LoadBalancer"
            f" --output {output / 'kubernetes'}"
        )
        _render(step, bundle, output / "kubernetes", image)

        step("Yours to type next")
        _next(step, output, address)
        if not once:
            session.out.say(f"\nServing on {session.out.style(address, 'bold')} until Ctrl-C.")
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()


class _Steps:
    """Tells the walk, on standard output: numbered steps, what one would type, and what came of it."""

    def __init__(self, session: Session) -> None:
        self._out = session.out
        self._number = 0

    def __call__(self, title: str) -> None:
        self._number += 1
        self._print(f"\n{self._number}. {title}")

    def typed(self, command: str) -> None:
        self._print(f"   $ {command}")

    def note(self, text: str) -> None:
        for line in text.splitlines():
            self._print(f"   {line}")

    def _print(self, line: str) -> None:
        self._out.facts(None, line)


def _train(folder: Path) -> tuple[dict[str, float], float]:
    """Writes the model and its data; gives one record and what the model says of it."""
    from shipway.errors import MissingDependency

    try:
        import joblib
        from sklearn.datasets import load_diabetes
        from sklearn.linear_model import LinearRegression

        data = load_diabetes(as_frame=True)
    except ImportError as error:
        raise MissingDependency(
            f"the demo trains with scikit-learn, and {error.name} is missing", fix='pip install "shipway[sklearn]"'
        ) from error
    model = LinearRegression().fit(data.data, data.target)
    joblib.dump(model, folder / "model.joblib")
    data.data.assign(**{_TARGET: data.target}).to_csv(folder / "train.csv", index=False)
    # Rounded, so that the record is short to read and to type.
    first = data.data.iloc[:1].round(4)
    return {str(name): float(value) for name, value in first.iloc[0].items()}, float(model.predict(first)[0])


def _pack(session: Session, folder: Path) -> Bundle:
    from shipway.bundle.pack import PackRequest, pack
    from shipway.bundle.records import read_sample

    request = PackRequest(folder / "model.joblib", _NAME, read_sample(folder / "train.csv"), _TARGET)
    return pack(request, session.store()).bundle


def _show(step: _Steps, bundle: Bundle) -> None:
    from shipway.cli.show import formula_text

    step.note(f"{bundle.id.name}:{bundle.id.version}, compiled to ONNX: {bundle.notes.get('agreement', 'no')}")
    if bundle.model.formula:
        step.note(formula_text(bundle.model.formula, bundle.model.signature.names))


@contextlib.contextmanager
def _server(session: Session, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs `shipway serve` in a process of its own; on a free port if the wanted one is taken."""
    from shipway.errors import MachineError, PortInUse
    from shipway.serving.listeners import bind

    try:
        bind("127.0.0.1", port).close()
    except PortInUse:
        session.out.warning(f"port {port} is in use; a free one is taken")
        port = 0
    if port == 0:
        with bind("127.0.0.1", 0) as listener:
            port = listener.getsockname()[1]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        command = [sys.executable, "-m", "shipway", "serve", _NAME, "--port", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True)  # noqa: S603 - this program itself
        try:
            address = f"http://127.0.0.1:{port}"
            if not _becomes_ready(process, address):
                log.seek(0)
                raise MachineError(
                    f"the server did not start: {log.read()[-500:].strip()}", fix=f"shipway serve {_NAME} --verbose"
                )
            yield process, address
        finally:
            with contextlib.suppress(KeyboardInterrupt):
                process.terminate()
                process.wait(30)


def _becomes_ready(process: subprocess.Popen[str], address: str) -> bool:
    import httpx

    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/readyz", timeout=2).status_code == 200:
                return True
        time.sleep(0.05)
    return False


def _ask(step: _Steps, address: str, record: dict[str, float], expected: float) -> None:
    import json

    from shipway.client.client import Client
    from shipway.errors import ShipwayError

    step.typed(f"curl -d '{json.dumps(record)}' {address}/")
    with Client(address) as client:
        prediction = client.predict(record)
    if abs(prediction - expected) > 1e-9 * abs(expected):
        raise ShipwayError(f"the server says {prediction}, the model {expected}", fix="tell us")
    step.note(f'{{"prediction": {prediction}}}   (scikit-learn itself: {expected})')


def _build(session: Session, step: _Steps, bundle: Bundle, output: Path, image: str, base: str | None) -> None:
    """Builds the image where a base can be had, and says in one line what is missing elsewhere."""
    from shipway.cli.build import make_image
    from shipway.errors import ShipwayError
    from shipway.image.output import write_archive
    from shipway.spec.image import ImageReference, Platform

    archive = output / f"{_NAME}.tar"
    step.typed(f"shipway build {_NAME} --tag {image} --output {archive}")
    try:
        built = make_image(session, bundle, Platform.parse("linux/amd64"), base=base).image
    except ShipwayError as error:
        step.note(f"skipped: {error.message} ({error.fix})")
        return
    write_archive([built], archive, ImageReference.parse(image))
    step.note(f"wrote {archive}: {built.size_over_base / 1e6:.1f} MB over its base, {built.descriptor.digest}")
    _load(step, archive, image)


def _load(step: _Steps, archive: Path, image: str) -> None:
    from shipway.errors import MachineError
    from shipway.oci.engine import find_engine

    try:
        engine = find_engine()
        step.typed(f"{engine.tool} load --input {archive}")
        engine.call("load", "--input", str(archive))
        step.note(
            f"{engine.tool} has it: {engine.tool} run --rm -p 8000:8000 {image}, or hardened: shipway run {image}"
        )
    except MachineError as error:
        step.note(f"not loaded into Docker: {error.message}")


def _render(step: _Steps, bundle: Bundle, folder: Path, image: str) -> None:
    from shipway.deploy.files import write_files
    from shipway.deploy.targets import render
    from shipway.spec.contract import Contract
    from shipway.spec.release import Release
    from shipway.spec.settings import Deploy, Kubernetes

    release = Release(_NAME, bundle.id, image, Contract.of(bundle.model))
    deploy = Deploy(kubernetes=Kubernetes(service="LoadBalancer"))
    for path in write_files(render(release, "kubernetes", deploy), folder):
        step.note(f"wrote {path}")


def _next(step: _Steps, output: Path, address: str) -> None:
    from shipway.cli.output import table

    started = "python -m shipway" if sys.argv[0].endswith("__main__.py") else sys.argv[0]
    shipway = "shipway" if shutil.which("shipway") else started
    kubectl = "" if shutil.which("kubectl") else " (kubectl is not installed here)"
    rows = [
        [f"open {address}/", "the page: a form, the answer, live figures"],
        [f"{shipway} show {_NAME}", "what is in the bundle"],
        [f"{shipway} predict {_NAME} --data {output / 'train.csv'} --out predictions.csv", "a whole file"],
        [f"kubectl apply -f {output / 'kubernetes'}", f"on your cluster, once it can pull the image{kubectl}"],
        [f"{shipway} pack YOUR_MODEL.joblib --name NAME", "and then your own model"],
    ]
    step.note(table(rows))
