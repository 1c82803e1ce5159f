"""ONNX: models as they are, and the compiled form of others, in onnxruntime."""

from __future__ import annotations

import importlib
import importlib.metadata
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from shipway.errors import DiskFull, MissingDependency, ModelError, NotAModel, SampleMismatch
from shipway.models.adapter import Detection, Facts, Opening, Predictor
from shipway.models.compile import MISSING_TEXT
from shipway.models.onnx_bytes import is_onnx
from shipway.models.onnx_signature import describe_session, map_classes
from shipway.spec.signature import Array, Columns, Label, Matrix, Signature, numpy_dtype, row_count
from shipway.spec.words import did_you_mean

__all__ = ["CompiledPredictor", "OnnxAdapter", "OnnxPredictor", "load_compiled", "make_session"]

_INSTALL = 'pip install "shipway[onnx]"'


class OnnxAdapter:
    """Knows ONNX models: one file, or a folder with one `.onnx` file and the weights beside it."""

    @property
    def framework(self) -> str:
        """`onnx`."""
        return "onnx"

    def detect(self, artefact: Path) -> Detection | None:
        """Finds an ONNX model by the fields of its protobuf message.

        Raises:
            NotAModel: an ONNX model that is cut short.
        """
        file = _model_file(artefact)
        if file is None or not is_onnx(file):
            return None
        return Detection(self.framework, f"ONNX model in {file.name}", pickled=False)

    def owns(self, model: object) -> bool:
        """Whether the object is an `onnx.ModelProto`."""
        return type(model).__name__ == "ModelProto" and type(model).__module__.split(".")[0] == "onnx"

    def save(self, model: object, folder: Path) -> Path:
        """Writes a `ModelProto` as `model.onnx`.

        Raises:
            DiskFull: it cannot be written.
        """
        path = folder / "model.onnx"
        try:
            path.write_bytes(_serialize(model))
        except OSError as error:
            raise DiskFull(f"{path} cannot be written: {error.strerror or error}", fix="free some space") from error
        return path

    def open(self, artefact: Path, opening: Opening) -> object:  # noqa: ARG002
        """Opens the model in onnxruntime.

        Raises:
            NotAModel: it is none, or cut short, or its weights lie outside of it.
            MissingDependency: onnxruntime is not installed.
        """
        file = _model_file(artefact)
        if file is None:
            raise NotAModel(f"{artefact} holds no ONNX model")
        if artefact.is_dir():
            return make_session(file)
        # A single file is a whole model: weights beside it would be left behind when it is packed.
        with tempfile.TemporaryDirectory() as empty:
            return make_session(file.read_bytes(), weights=Path(empty))

    def facts(self, model: object, signature: Signature, target: str | None = None) -> Facts:  # noqa: ARG002
        """Gives the exporter's name and the runtime's versions."""
        producer = _session(model).get_modelmeta().producer_name
        versions = {name: importlib.metadata.version(name) for name in ("numpy", "onnxruntime")}
        return Facts(f"ONNX ({producer})" if producer else "ONNX", versions)

    def describe(self, model: object, sample: Columns | None, target: str | None) -> Signature:
        """Reads the signature from the graph: tensors keep their names, axis 0 is the rows.

        Raises:
            SampleMismatch: the sample's columns are not the graph's inputs.
            NotAModel: an input has no axis of rows, or a type that Shipway does not serve.
        """
        signature = describe_session(_session(model))
        if sample is not None:
            _check_sample([name for name in sample if name != target], signature)
        return signature

    def predictor(self, model: object, signature: Signature) -> Predictor:
        """Makes the session callable."""
        session = _session(model)
        one_row = any(entry.shape[0] == 1 for entry in session.get_inputs())
        return OnnxPredictor(session, signature, one_row)

    def compile(self, model: object, signature: Signature) -> None:  # noqa: ARG002
        """Gives None: the artefact is itself what the runtime takes."""
        return


@dataclass(frozen=True, slots=True)
class OnnxPredictor:
    """An ONNX graph as it is: named tensors in, named tensors out. Safe to call from threads.

    Attributes:
        session: onnxruntime's.
        signature: of the graph.
        one_row: whether the graph takes one row at a time; rows are then asked one by one.
    """

    session: Any
    signature: Signature
    one_row: bool = False

    def call(self, method: str, columns: Columns, parameters: Mapping[str, object]) -> Columns:
        """Runs the graph; see `Predictor.call`."""
        found = self.signature.method(method)
        assert found is not None, method
        rows = row_count(columns)
        if self.one_row and rows > 1:
            parts = [
                self.call(method, {name: array[row : row + 1] for name, array in columns.items()}, parameters)
                for row in range(rows)
            ]
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        names = [output.name for output in found.outputs]
        answers = _run(self.session, names, columns)
        result = {name: _tensor(answer, found.classes) for name, answer in zip(names, answers, strict=True)}
        for name, array in result.items():
            if len(array) != rows:
                raise ModelError(f"the graph's output {name!r} has {len(array)} rows for {rows}")
        return result


@dataclass(frozen=True, slots=True)
class CompiledPredictor:
    """The compiled form of a model, as `models.compile` makes it.

    The graph takes one float64 `input` [rows, columns] for a table of numbers, else one [rows, 1] tensor a column; it
    has one output a method, of the method's name, and computes no other than the one asked for.

    Attributes:
        session: onnxruntime's.
        signature: of the original.
    """

    session: Any
    signature: Signature
    _names: tuple[str, ...] = field(init=False, repr=False)
    _is_table: bool = field(init=False, repr=False)
    _outputs: Mapping[str, np.dtype[Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        outputs = {method.name: numpy_dtype(method.outputs[0].dtype) for method in self.signature.methods}
        object.__setattr__(self, "_names", self.signature.names)
        object.__setattr__(self, "_is_table", self.signature.is_numeric_table)
        object.__setattr__(self, "_outputs", outputs)

    def call(self, method: str, columns: Columns, parameters: Mapping[str, object]) -> Columns:  # noqa: ARG002
        """Runs the graph for one method; see `Predictor.call`."""
        if self._is_table:
            feed = {"input": _matrix(columns, self._names)}
        else:
            feed = {name: _compiled_cells(columns[name]) for name in self._names}
        (answer,) = _run(self.session, [method], feed)
        dtype = self._outputs[method]
        return {method: answer if answer.dtype == dtype else answer.astype(dtype)}


def _matrix(columns: Columns, names: tuple[str, ...]) -> Array:
    """Gives a table of numbers as one array [rows, columns] of float64."""
    if isinstance(columns, Matrix):
        return columns.cells.astype(np.float64, copy=False)
    flat = np.concatenate([columns[name] for name in names], dtype=np.float64)
    return flat.reshape(len(names), -1).T


def _compiled_cells(column: Array) -> Array:
    """Gives a column as a compiled form takes it: [rows, 1], float64 or text, with a word for missing text."""
    if column.dtype == object:
        column = np.array([MISSING_TEXT if text is None else text for text in column], dtype=object)
    return column.reshape(-1, 1) if column.dtype == object else column.reshape(-1, 1).astype(np.float64, copy=False)


def load_compiled(model: Path | str | bytes, signature: Signature) -> CompiledPredictor:
    """Opens a compiled form, from its file or its bytes.

    Raises:
        NotAModel: the runtime does not take it.
        MissingDependency: onnxruntime is not installed.
    """
    return CompiledPredictor(make_session(Path(model) if isinstance(model, str) else model), signature)


def make_session(model: Path | bytes, *, weights: Path | None = None) -> Any:
    """Opens a model with the settings that Shipway serves with: one thread, so that sums have one order; no spinning.

    Args:
        model: the file, or its bytes. The runtime itself refuses weights outside of the file's folder.
        weights: folder of the weights, where `model` is bytes.

    Raises:
        NotAModel: the runtime does not take it.
        MissingDependency: onnxruntime is not installed.
    """
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingDependency("onnxruntime is not installed", fix=_INSTALL) from error
    runtime.disable_telemetry_events()  # from 1.32 on it reports to its maker unless told not to
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it would print on rows that it refuses is in the error
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if weights is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
    try:
        source = model if isinstance(model, bytes) else str(model)
        return runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        name = "the ONNX model" if isinstance(model, bytes) else model.name
        if "xternal" in str(error):
            raise NotAModel(
                f"{name} keeps weights in other files, which are not here",
                fix="pack the folder that holds both, or save the model as one file",
            ) from error
        raise NotAModel(
            f"onnxruntime does not take {name}: {_reason(error)}", fix="export or copy the model again"
        ) from error


def _run(session: Any, names: list[str], feed: Columns) -> list[Any]:
    try:
        return cast("list[Any]", session.run(names, feed))
    except Exception as error:
        # The feed has the graph's names and dtypes, so what the runtime calls an invalid argument are its values: an
        # index past a table's end, an unknown category of a strict encoder. Python's word for that is ValueError.
        cause = ValueError(_reason(error)) if type(error).__name__ == "InvalidArgument" else error
        raise ModelError(f"onnxruntime failed: {_reason(error)}") from cause


def _reason(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".")


def _tensor(answer: Any, classes: tuple[Label, ...] | None) -> Array:
    """Gives an output as an array; a list of mappings from class to number as [rows, classes]."""
    if isinstance(answer, list):
        order = classes if classes is not None else map_classes(answer)
        return np.array([[cells[label] for label in order] for cells in answer], dtype=np.float32)
    return cast("Array", answer)


def _check_sample(names: list[str], signature: Signature) -> None:
    missing = [name for name in signature.names if name not in names]
    extra = [name for name in names if name not in signature.names]
    if missing or extra:
        near = did_you_mean(missing[0], extra) if missing else ""
        raise SampleMismatch(
            f"the graph's inputs are {', '.join(signature.names)}; the sample has {', '.join(names)}",
            fix=near or "leave out --sample, or give a column for each input",
        )


def _model_file(artefact: Path) -> Path | None:
    if artefact.is_dir():
        files = sorted(artefact.glob("*.onnx"))
        return files[0] if len(files) == 1 else None
    return artefact if artefact.is_file() else None


def _session(model: Any) -> Any:
    return make_session(_serialize(model)) if hasattr(model, "SerializeToString") else model


def _serialize(model: Any) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))
