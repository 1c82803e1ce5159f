"""Packing: what comes out follows from what goes in; what cannot be packed leaves the store as it was."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fakes.folders import write_folder
from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import read_folder
from shipway.bundle.golden import GoldenRows, choose_rows, replay, synthetic_rows
from shipway.bundle.load import check_versions, open_predictor, read_golden, tolerance_of
from shipway.bundle.pack import PackReport, PackRequest, pack
from shipway.bundle.store import Store
from shipway.errors import (
    ArtefactError,
    CorruptBlob,
    DangerousPickle,
    GoldenMismatch,
    MissingSymbol,
    NotAModel,
    SampleMismatch,
    ShipwayError,
    UsageError,
    VersionMismatch,
)
from shipway.spec.reference import BundleId
from shipway.spec.signature import Column, Columns, DType, Signature

DATA = load_diabetes(as_frame=True)
SAMPLE: Columns = {str(name): DATA.frame[name].to_numpy() for name in DATA.frame.columns}
CODE = Path(__file__).parents[1] / "fakes" / "code"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "store")


@pytest.fixture(scope="module")
def linear() -> LinearRegression:
    return LinearRegression().fit(DATA.data, DATA.target)


def pack_it(store: Store, source: object, name: str = "m", **others: Any) -> PackReport:
    return pack(PackRequest(source, name, **others), store)


@pytest.mark.parametrize("as_object", [True, False])
def test_the_same_model_again_adds_nothing(
    store: Store, tmp_path: Path, linear: LinearRegression, as_object: bool
) -> None:
    joblib.dump(linear, tmp_path / "model.joblib")
    source = linear if as_object else tmp_path / "model.joblib"
    first = pack_it(store, source, sample=SAMPLE, target="target")
    again = pack_it(store, source, sample=SAMPLE, target="target")
    assert (first.new, again.new) == (True, False)
    assert again.bundle.id == first.bundle.id


def test_another_store_gives_the_same_digest(store: Store, tmp_path: Path, linear: LinearRegression) -> None:
    first = pack_it(store, linear, sample=SAMPLE, target="target").bundle
    second = pack_it(Store.at(tmp_path / "other"), linear, "other-name", sample=SAMPLE, target="target").bundle
    assert second.id.digest == first.id.digest


def test_golden_rows_come_from_the_sample_or_are_marked_as_drawn(store: Store, linear: LinearRegression) -> None:
    from_sample = pack_it(store, linear, sample=SAMPLE, target="target").bundle
    assert not from_sample.model.golden.synthetic
    rows = read_golden(from_sample).inputs["bmi"]
    assert set(rows) <= set(SAMPLE["bmi"])
    drawn = pack_it(store, linear, "drawn").bundle
    assert drawn.model.golden.synthetic
    assert pack_it(store, linear, "drawn").bundle.id == drawn.id


def test_a_compiled_bundle_is_opened_without_its_original(
    store: Store, tmp_path: Path, linear: LinearRegression
) -> None:
    bundle = pack_it(store, linear, sample=SAMPLE, target="target").bundle
    folder = read_folder(write_folder(bundle, tmp_path / "m"))
    predictor = open_predictor(folder, allow_pickle=False)
    columns = {name: SAMPLE[name] for name in predictor.signature.names}
    given = predictor.call("predict", columns, {})["predict"]
    np.testing.assert_allclose(given, linear.predict(DATA.data), rtol=1e-12)


def test_the_formula_is_the_models(store: Store, linear: LinearRegression) -> None:
    formula = pack_it(store, linear, sample=SAMPLE, target="target").bundle.model.formula
    assert formula is not None
    assert formula.coefficients == (tuple(linear.coef_.tolist()),)
    assert formula.intercepts == (float(linear.intercept_),)


def test_what_does_not_compile_is_served_as_it_is_and_says_why(store: Store, tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(np.abs), LinearRegression()).fit(DATA.data.to_numpy(), DATA.target)
    report = pack_it(store, model)
    assert report.bundle.model.compiled is None
    assert report.not_compiled
    predictor = open_predictor(report.bundle, allow_pickle=False)
    replay(predictor, read_golden(report.bundle))
    foreign = read_folder(write_folder(report.bundle, tmp_path / "m"))
    with pytest.raises(DangerousPickle) as caught:
        open_predictor(foreign, allow_pickle=False)
    assert "allow_pickle" in caught.value.fix
    replay(open_predictor(foreign, allow_pickle=True), read_golden(foreign))


def test_a_models_own_module_goes_with_it(store: Store, tmp_path: Path) -> None:
    sys.path.insert(0, str(CODE))
    try:
        from sleepy import Sleepy

        rows = np.arange(20.0).reshape(10, 2)
        joblib.dump(make_pipeline(Sleepy(0.0), LinearRegression()).fit(rows, rows[:, 0]), tmp_path / "model.joblib")
    finally:
        sys.path.remove(str(CODE))
        del sys.modules["sleepy"]
    with pytest.raises(MissingSymbol, match="sleepy") as caught:
        pack_it(store, tmp_path / "model.joblib")
    assert "--code" in caught.value.fix
    bundle = pack_it(store, tmp_path / "model.joblib", code=(CODE,)).bundle
    del sys.modules["sleepy"]
    assert "code/sleepy.py" in bundle.files
    replay(open_predictor(bundle, allow_pickle=False), read_golden(bundle))


class Gadget:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch harmed",)


def test_a_dangerous_pickle_is_refused_and_not_run(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Gadget()))
    with pytest.raises(DangerousPickle, match="system") as caught:
        pack_it(store, tmp_path / "model.pkl")
    assert "--trust" in caught.value.fix
    assert not (tmp_path / "harmed").exists()
    assert store.list() == ()


def unreadable(folder: Path) -> dict[str, Path]:
    """One artefact for each way of being no model."""
    whole = folder / "whole.joblib"
    joblib.dump(LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True)), whole)
    (folder / "cut.joblib").write_bytes(whole.read_bytes()[:-200])
    (folder / "empty.joblib").write_bytes(b"")
    (folder / "text.joblib").write_text("a,b\n1,2\n")
    (folder / "cut.onnx").write_bytes(b"\x08\x08\x12\x04skl2")
    joblib.dump({"weights": [1, 2, 3]}, folder / "values.joblib")
    joblib.dump(LogisticRegression(), folder / "unfitted.joblib")
    (folder / "folder").mkdir()
    return {path.name: path for path in folder.iterdir() if path != whole} | {"missing": folder / "missing.joblib"}


NO_MODELS = (
    "cut.joblib",
    "empty.joblib",
    "text.joblib",
    "cut.onnx",
    "values.joblib",
    "unfitted.joblib",
    "folder",
    "missing",
)


@pytest.mark.parametrize("name", NO_MODELS)
def test_what_is_no_model_is_refused_and_leaves_no_trace(store: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / "artefacts").mkdir()
    with pytest.raises((NotAModel, UsageError)):
        pack_it(store, unreadable(tmp_path / "artefacts")[name])
    assert store.list() == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bmi": None}, "bmi"),
        ({"bmi": None, "bim": SAMPLE["bmi"]}, "bmi"),
        ({"extra": SAMPLE["bmi"]}, "extra"),
    ],
)
def test_a_sample_that_does_not_fit_names_the_column(
    store: Store, linear: LinearRegression, change: Any, words: str
) -> None:
    sample = {name: array for name, array in {**SAMPLE, **change}.items() if array is not None}
    with pytest.raises(SampleMismatch, match=words):
        pack_it(store, linear, sample=sample, target="target")


def test_a_misspelt_target_is_said(store: Store, linear: LinearRegression) -> None:
    with pytest.raises(SampleMismatch, match="tarket"):
        pack_it(store, linear, sample=SAMPLE, target="tarket")


@pytest.mark.parametrize("name", ["Bad Name", "", "a/b", "x" * 64])
def test_a_name_that_cannot_be_is_refused_before_the_work(store: Store, linear: LinearRegression, name: str) -> None:
    with pytest.raises(UsageError):
        pack_it(store, linear, name)


def test_an_object_that_is_no_model_is_refused(store: Store) -> None:
    with pytest.raises(ArtefactError):
        pack_it(store, {"not": "a model"})


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5, random_state=0).fit(*load_iris(return_X_y=True)),
        KNeighborsRegressor(3).fit(DATA.data.to_numpy(), DATA.target),
        LogisticRegression(max_iter=500).fit(load_iris().data, load_iris().target_names[load_iris().target]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_was_recorded_is_what_is_served(store: Store, model: Any) -> None:
    bundle = pack_it(store, model).bundle
    golden = read_golden(bundle)
    replay(open_predictor(bundle, allow_pickle=False), golden, tolerance_of(bundle))
    np.testing.assert_array_equal(
        golden.outputs["predict"]["predict"], model.predict(np.column_stack(list(golden.inputs.values())))
    )
    assert GoldenRows.from_json(golden.to_json(), bundle.model.signature).to_json() == golden.to_json()


def test_other_answers_than_recorded_are_noticed(store: Store, linear: LinearRegression) -> None:
    bundle = pack_it(store, linear, sample=SAMPLE, target="target").bundle
    golden = read_golden(bundle)
    wrong = {"predict": {"predict": golden.outputs["predict"]["predict"] + 1e-6}}
    with pytest.raises(GoldenMismatch, match="golden row 0"):
        replay(open_predictor(bundle, allow_pickle=False), GoldenRows(golden.inputs, wrong), tolerance_of(bundle))


def test_drawn_rows_are_the_same_every_time(linear: LinearRegression, store: Store) -> None:
    signature = pack_it(store, linear).bundle.model.signature
    first, second = synthetic_rows(signature), synthetic_rows(signature)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_other_versions_than_packed_are_refused_with_the_command() -> None:
    check_versions({"numpy": np.__version__})
    with pytest.raises(VersionMismatch) as caught:
        check_versions({"numpy": "1.0.0", "no-such-package": "2.0"})
    assert caught.value.fix == "pip install 'numpy==1.0.0' 'no-such-package==2.0'"


def test_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path, linear: LinearRegression) -> None:
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False)
        if os.name == "posix"
        else None
    )
    if mounted is None or mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        store = Store.at(disk / "store")
        pack_it(store, linear)
        (disk / "filler").write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize - 4096))
        with pytest.raises(ShipwayError, match="space"):
            pack_it(store, linear, sample=SAMPLE, target="target")
        assert [entry.id.version for entry in store.list()] == [1]
        assert store.check() == ()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_bundle_that_hides_its_pickle_is_not_opened(store: Store, tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(np.abs), LinearRegression()).fit(DATA.data.to_numpy(), DATA.target)
    hidden = forged(pack_it(store, model).bundle, pickled=False)
    with pytest.raises(DangerousPickle):
        open_predictor(read_folder(write_folder(hidden, tmp_path / "m")), allow_pickle=False)


@pytest.mark.parametrize(
    "path", ["../outside", "/outside", "a/../../outside", "..\\outside", "C:\\outside", "C:outside"]
)
def test_a_manifest_names_nothing_outside_of_its_bundle(
    store: Store, tmp_path: Path, linear: LinearRegression, path: str
) -> None:
    bundle = pack_it(store, linear).bundle
    first, *others = bundle.manifest.files
    moved = forged(bundle, files=(msgspec.structs.replace(first, path=path), *others))
    with pytest.raises(CorruptBlob, match="outside"):
        read_folder(write_folder(moved, tmp_path / "m"))
    elsewhere = forged(bundle, artefact=path, compiled=None)
    with pytest.raises(CorruptBlob, match="outside"):
        open_predictor(elsewhere, allow_pickle=True)


def forged(bundle: Bundle, **changes: Any) -> Bundle:
    """Gives a bundle with another manifest, sound in all of its digests."""
    manifest = msgspec.structs.replace(bundle.manifest, **changes)
    oci = json.loads(bundle.oci_manifest)
    oci["config"]["digest"] = "sha256:" + hashlib.sha256(manifest.to_json()).hexdigest()
    text = json.dumps(oci).encode()
    bundle_id = BundleId(bundle.id.name, bundle.id.version, "sha256:" + hashlib.sha256(text).hexdigest())
    return replace(bundle, id=bundle_id, manifest=manifest, oci_manifest=text, origin="foreign")


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (-1,)])
def test_drawn_cells_have_the_columns_shape(shape: tuple[int, ...]) -> None:
    dtypes: tuple[DType, ...] = ("string", "float32", "int64", "bool")
    columns = tuple(Column(dtype, dtype, shape) for dtype in dtypes)
    drawn = synthetic_rows(Signature(columns, ()), 5)
    wanted = (5, *(4 if size == -1 else size for size in shape))
    assert {name: array.shape for name, array in drawn.items()} == dict.fromkeys(dtypes, wanted)


def test_a_tables_values_fill_cells_of_one_value() -> None:
    """As graphs have them that skl2onnx exports: a tensor [rows, 1] a column."""
    signature = Signature((Column("n", "float32", (1,)), Column("t", "string", (1,))), ())
    sample = {"n": np.array([1.0, 2.0]), "t": np.array(["a", "b"], dtype=object)}
    chosen = choose_rows(sample, signature)
    assert [chosen[name].tolist() for name in signature.names] == [[[1.0], [2.0]], [["a"], ["b"]]]
