"""What a user of the library calls: pack, load, serve, asgi."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shipway.apps.pack import AppRequest
from shipway.bundle.bundle import Bundle
from shipway.bundle.load import open_predictor
from shipway.bundle.pack import PackRequest
from shipway.bundle.pack import pack as pack_model
from shipway.bundle.pack_app import check_trusted, pack_app
from shipway.bundle.records import infer_columns, read_sample
from shipway.bundle.store import Store
from shipway.cli.apps import holds_app
from shipway.cli.environment import default_store, environment
from shipway.cli.remote import fetch_quietly
from shipway.client.client import rows_to_json
from shipway.errors import SampleMismatch, UnknownModel
from shipway.models.adapter import Predictor as ModelPredictor
from shipway.serving.application import Application, read_keys
from shipway.serving.choose import application_for
from shipway.serving.http.access import no_log
from shipway.serving.http.asgi import AsgiFront
from shipway.serving.server import serve as serve_bundles
from shipway.spec.reference import NameReference, RegistryReference, parse_reference
from shipway.spec.rows import RowReader
from shipway.spec.settings import Server, Settings
from shipway.spec.signature import Columns, Signature

__all__ = ["Predictor", "asgi", "load", "pack", "serve"]


class Predictor:
    """A loaded model in this process.

    Attributes:
        signature: what it takes and gives.
    """

    def __init__(self, predictor: ModelPredictor) -> None:
        self._predictor = predictor
        self._reader = RowReader(predictor.signature)

    @property
    def signature(self) -> Signature:
        """What goes in and comes out."""
        return self._predictor.signature

    def predict(self, rows: Any) -> Any:
        """Predicts.

        Args:
            rows: a DataFrame, a dict of columns, a list of records or rows, an array [rows, columns]; or one record.

        Returns:
            An array with a prediction a row; a plain value for one record.

        Raises:
            InvalidInput: the rows do not fit the signature.
        """
        return self.call("predict", rows)

    def predict_proba(self, rows: Any) -> Any:
        """Gives the classes' probabilities [rows, classes], in the order of the signature's `classes`."""
        return self.call("predict_proba", rows)

    def decision_function(self, rows: Any) -> Any:
        """Gives the decision function's values."""
        return self.call("decision_function", rows)

    def transform(self, rows: Any) -> Any:
        """Transforms rows."""
        return self.call("transform", rows)

    def call(self, method: str, rows: Any) -> Any:
        """Calls any of the model's methods; several outputs come as a dict of arrays."""
        if self.signature.method(method) is None:
            names = ", ".join(known.name for known in self.signature.methods)
            raise UnknownModel(f"the model has no method {method!r}", fix=f"it has {names}")
        columns, single = self._reader.read(rows_to_json(rows))
        outputs = self._predictor.call(method, columns, {})
        values = {name: array[0] if single else array for name, array in outputs.items()}
        value = next(iter(values.values())) if len(values) == 1 else values
        return value.item() if isinstance(value, np.generic) else value


def pack(
    model: object,
    *,
    name: str,
    sample: Any = None,
    target: str | None = None,
    code: Sequence[str | Path] = (),
    trust: bool = False,
    app: str | None = None,
    store: str | Path | None = None,
) -> Bundle:
    """Packs a fitted object, the file or folder at a path, or the folder of a web app, into the store.

    Args:
        model: the fitted object, the artefact's path, or the path of an app's folder.
        name: what the model is called from now on.
        sample: rows of the training data: a DataFrame, a dict of columns, an array, or the path of a file. Of an app:
            the path of a file with a request.
        target: the sample's column that the model predicts.
        code: folders with modules that a pickle needs.
        trust: open a pickle whose scan shows a dangerous call.
        app: `module:object` of a web app, where its source does not say which.
        store: the store's folder; the user's own by default.

    Raises:
        ShipwayError: it cannot be packed; the message says why, the fix what to do.
    """
    if isinstance(model, str | Path) and (app or holds_app(Path(model))):
        request = AppRequest(Path(model), app, None if sample is None else Path(sample))
        return pack_app(request, name, _store(store)).bundle
    wanted = PackRequest(model, name, _sample(sample), target, tuple(Path(folder) for folder in code), trust)
    return pack_model(wanted, _store(store)).bundle


def load(reference: str | Bundle, *, store: str | Path | None = None, allow_pickle: bool = False) -> Predictor:
    """Loads a bundle into this process.

    Args:
        reference: `name`, `name:version`, `name@alias`, the path of a bundle's folder, `oci://registry/repo:tag` (which
            is brought into the store), or a bundle.
        store: the store's folder; the user's own by default.
        allow_pickle: whether a model that was not packed in this store may be opened as a pickle.
    """
    return Predictor(open_predictor(_bundle(reference, store), allow_pickle=allow_pickle))


def serve(
    *references: str | Bundle, host: str = "127.0.0.1", port: int = 8000, store: str | Path | None = None
) -> None:
    """Serves models, or one web app, until an interrupt or SIGTERM. Call it in the main thread.

    An app is imported in this process, with its folder as the working folder; `shipway serve` gives it one of its own.
    """
    settings = Settings(server=Server(host=host, port=port))

    def say_ready(address: str, served: Sequence[Any]) -> None:
        sys.stderr.write(f"serving {', '.join(one.id.name for one in served)} on {address}\n")

    bundles = [_bundle(reference, store) for reference in references]
    for bundle in bundles:
        if bundle.app:
            check_trusted(bundle, allowed=False)
    serve_bundles(application_for(bundles, settings, no_log, environment()), bundles, settings.server, say_ready)


def asgi(*references: str | Bundle, settings: Settings | None = None, store: str | Path | None = None) -> AsgiFront:
    """Gives an ASGI application that serves models, to mount in another app or to run under any ASGI server."""
    chosen = settings or Settings()
    application = Application(chosen, no_log, read_keys(chosen.auth.keys))
    application.open([_bundle(reference, store) for reference in references])
    return application.asgi


def _store(path: str | Path | None) -> Store:
    return Store.at(Path(path) if path else default_store())


def _bundle(reference: str | Bundle, store: str | Path | None) -> Bundle:
    if isinstance(reference, Bundle):
        return reference
    parsed = parse_reference(reference)
    if isinstance(parsed, NameReference):
        return _store(store).find(parsed)
    if isinstance(parsed, RegistryReference):
        return fetch_quietly(reference, _store(store))
    from shipway.bundle.folder import read_folder

    return read_folder(Path(str(parsed)))


def _sample(sample: Any) -> Columns | None:
    if sample is None:
        return None
    if isinstance(sample, str | Path):
        return read_sample(Path(sample))
    value = rows_to_json(sample)
    if isinstance(value, dict):
        lists = {name: cells if isinstance(cells, list) else [cells] for name, cells in value.items()}
        value = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    if isinstance(value, list) and value and isinstance(value[0], list):
        value = [{f"x{index}": cell for index, cell in enumerate(row)} for row in value]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise SampleMismatch(
            "the sample is no table", fix="give a DataFrame, a dict of columns or an array [rows, columns]"
        )
    return infer_columns(value)
