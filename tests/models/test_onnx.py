"""ONNX's adapter, and the predictor of compiled forms."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx

from shipway.errors import ModelError, NotAModel, SampleMismatch
from shipway.models.adapter import Opening
from shipway.models.onnx import OnnxAdapter, load_compiled
from shipway.spec.signature import Column, Method, Signature

ADAPTER = OnnxAdapter()


@pytest.fixture
def file(tmp_path: Path, affine_model: Any) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(affine_model().SerializeToString())
    return path


def test_a_graph_is_found_by_content_opened_and_described(file: Path) -> None:
    detection = ADAPTER.detect(file)
    assert detection is not None
    assert not detection.pickled
    session = ADAPTER.open(file, Opening())
    signature = ADAPTER.describe(session, None, None)
    assert signature.inputs == (Column("x", "float32", (3,), kind="tensor"),)
    assert signature.methods == (Method("predict", (Column("y", "float32", (3,), kind="tensor"),)),)
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(ADAPTER.predictor(session, signature).call("predict", {"x": rows}, {})["y"], rows * 2)
    facts = ADAPTER.facts(session, signature)
    assert (facts.kind, sorted(facts.versions)) == ("ONNX (tests)", ["numpy", "onnxruntime"])
    assert ADAPTER.compile(session, signature) is None  # type: ignore[func-returns-value]


def test_a_cut_graph_is_not_a_model(file: Path) -> None:
    whole = file.read_bytes()
    for size in range(2, len(whole)):
        file.write_bytes(whole[:size])
        with pytest.raises(NotAModel):
            ADAPTER.open(file, Opening())
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NotAModel, match="cut short"):
        ADAPTER.detect(file)


@pytest.mark.parametrize("content", [b"", b"text", b"\x08", b"\x80\x04.", b"\xff" * 40, b"PK\x03\x04"])
def test_other_files_are_not_found(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert ADAPTER.detect(path) is None


def test_a_broken_graph_is_refused_by_the_runtime(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"Add", b"Odd"))
    with pytest.raises(NotAModel, match="does not take"):
        ADAPTER.open(file, Opening())


def test_a_batch_of_one_is_asked_row_by_row(affine_model: Any) -> None:
    model = affine_model(1)
    signature = ADAPTER.describe(model, None, None)
    rows = np.arange(9, dtype=np.float32).reshape(3, 3)
    assert np.array_equal(ADAPTER.predictor(model, signature).call("predict", {"x": rows}, {})["y"], rows * 2)


def test_another_fixed_batch_is_refused(affine_model: Any) -> None:
    with pytest.raises(NotAModel, match="exactly 8 rows"):
        ADAPTER.describe(affine_model(8), None, None)


def test_a_scalar_input_is_refused() -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "scalar",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with pytest.raises(NotAModel, match="no axis of rows"):
        ADAPTER.describe(model, None, None)


def test_mappings_of_classifiers_become_rows_with_classes(iris: Any) -> None:
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.0, 3.0, 5.0, 1.8]], dtype=np.float32)
    model = to_onnx(iris, rows)
    signature = ADAPTER.describe(model, None, None)
    (method,) = signature.methods
    assert method.classes == ("setosa", "versicolor", "virginica")
    labels, probabilities = method.outputs
    assert (labels.dtype, labels.shape, probabilities.shape) == ("string", (), (3,))
    answer = ADAPTER.predictor(model, signature).call("predict", {signature.names[0]: rows}, {})
    assert answer[labels.name].tolist() == iris.predict(rows).tolist()
    assert np.allclose(answer[probabilities.name], iris.predict_proba(rows), atol=1e-5)


def test_samples_must_have_the_graphs_inputs(affine_model: Any) -> None:
    with pytest.raises(SampleMismatch, match="inputs are x"):
        ADAPTER.describe(affine_model(), {"z": np.array([1.0])}, None)


def external(location: str) -> onnx.ModelProto:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        weight.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "external",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_weights_are_read_in_the_artefacts_folder_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    np.ones(4, np.float32).tofile(folder / "w.bin")
    np.ones(4, np.float32).tofile(tmp_path / "outside.bin")
    monkeypatch.chdir(folder)
    file = folder / "model.onnx"
    file.write_bytes(external("w.bin").SerializeToString())
    assert ADAPTER.detect(folder) is not None
    ADAPTER.open(folder, Opening())
    with pytest.raises(NotAModel, match="other files"):
        ADAPTER.open(file, Opening())
    for location in ("../outside.bin", str(tmp_path / "outside.bin")):
        file.write_bytes(external(location).SerializeToString())
        with pytest.raises(NotAModel):
            ADAPTER.open(folder, Opening())


def test_a_model_proto_is_owned_and_saved_alike_each_time(tmp_path: Path, affine_model: Any) -> None:
    assert ADAPTER.owns(affine_model())
    assert not ADAPTER.owns({})
    path = ADAPTER.save(affine_model(), tmp_path)
    assert path.read_bytes() == affine_model().SerializeToString(deterministic=True)


def test_a_graph_that_fails_is_a_model_error(affine_model: Any) -> None:
    model = affine_model()
    predictor = ADAPTER.predictor(model, ADAPTER.describe(model, None, None))
    with pytest.raises(ModelError):
        predictor.call("predict", {"x": np.zeros((1, 5), np.float32)}, {})


def compiled_sum(width: int, *, table: bool) -> bytes:
    """A compiled form as `models.compile` writes it: `predict` is the sum of the columns."""
    names = [f"x{index}" for index in range(width)]
    kind = TensorProto.DOUBLE
    nodes = [] if table else [helper.make_node("Concat", names, ["input"], axis=1)]
    nodes.append(helper.make_node("ReduceSum", ["input", "axis"], ["predict"], keepdims=0))
    inputs = [("input", width)] if table else [(name, 1) for name in names]
    graph = helper.make_graph(
        nodes,
        "sum",
        [helper.make_tensor_value_info(name, kind, ["N", size]) for name, size in inputs],
        [helper.make_tensor_value_info("predict", kind, ["N"])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_a_compiled_table_takes_its_columns_as_one_matrix(rows: int) -> None:
    names = [f"x{index}" for index in range(3)]
    signature = Signature(
        tuple(Column(name, "float64") for name in names), (Method("predict", (Column("predict", "float64"),)),)
    )
    columns = {name: np.random.default_rng(0).normal(size=rows) for name in names}
    predictor = load_compiled(compiled_sum(3, table=True), signature)
    answer = predictor.call("predict", columns, {})["predict"]
    assert answer.shape == (rows,)
    assert np.allclose(answer, sum(columns.values()), rtol=1e-15)


def test_a_compiled_form_of_mixed_columns_takes_each_by_name_and_casts(tmp_path: Path) -> None:
    signature = Signature(
        (Column("x0", "float64"), Column("x1", "float64"), Column("city", "string")),
        (Method("predict", (Column("predict", "int64"),)),),
    )
    path = tmp_path / "model.onnx"
    cast = helper.make_node("Cast", ["city"], ["number"], to=TensorProto.DOUBLE)
    join = helper.make_node("Concat", ["x0", "x1", "number"], ["all"], axis=1)
    total = helper.make_node("ReduceSum", ["all", "axis"], ["predict"], keepdims=0)
    kinds = {"x0": TensorProto.DOUBLE, "x1": TensorProto.DOUBLE, "city": TensorProto.STRING}
    graph = helper.make_graph(
        [cast, join, total],
        "mixed",
        [helper.make_tensor_value_info(name, kind, ["N", 1]) for name, kind in kinds.items()],
        [helper.make_tensor_value_info("predict", TensorProto.DOUBLE, ["N"])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    columns = {"x0": np.array([1.0, 2.0]), "x1": np.array([3.0, 4.0]), "city": np.array(["5", "6"], dtype=object)}
    answer = load_compiled(path, signature).call("predict", columns, {})["predict"]
    assert answer.dtype == np.int64
    assert answer.tolist() == [9, 12]


def test_threads_get_their_own_answers(affine_model: Any) -> None:
    model = affine_model()
    predictor = ADAPTER.predictor(model, ADAPTER.describe(model, None, None))
    wrong: list[int] = []

    def ask(number: int) -> None:
        rows = np.full((2, 3), number, np.float32)
        for _ in range(50):
            if not np.array_equal(predictor.call("predict", {"x": rows}, {})["y"], rows * 2):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
