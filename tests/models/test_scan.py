"""The scan is sound: no way of hiding a name from it, and what it cannot follow is dangerous; real models are clean."""

from __future__ import annotations

import io
import pickle
import struct
import sys
from contextlib import suppress
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer

from shipway.errors import NotAModel
from shipway.models.allowed import verdict
from shipway.models.scan import scan_pickle


def joblib_bytes(value: Any, protocol: int = 4) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, protocol=protocol)
    return buffer.getvalue()


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"\x8c" + bytes([len(encoded)]) + encoded


class Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hidden_in_array(inner: bytes) -> bytes:
    """A joblib stream with an object array whose nested pickle is `inner`."""
    data = joblib_bytes(np.array([None], dtype=object))
    nested = pickle.dumps(np.array([None], dtype=object), protocol=5)
    assert data.count(nested) == 1
    return data.replace(nested, inner)


SYSTEM = b"cposix\nsystem\n(Vtrue\ntR."
OUTSIDE = {
    "a call": pickle.dumps(Call(eval, "1")),
    "protocol 0": SYSTEM,
    "python 2 name": b"\x80\x02c__builtin__\neval\n(X\x01\x00\x00\x001tR.",
    "stack global": b"\x80\x04" + text("os") + text("system") + b"\x93" + text("true") + b"\x85R.",
    "memo": b"\x80\x04" + text("os") + b"\x940" + text("system") + b"\x940h\x00h\x01\x93" + text("true") + b"\x85R.",
    "swapped memo": b"\x80\x04" + text("math") + b"q\x000" + text("os") + b"q\x000h\x00" + text("system") + b"\x93.",
    "dup": b"\x80\x04" + text("os") + b"2\x93.",
    "inst": b"(Vtrue\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nVtrue\no.",
    "new object": b"\x80\x02csubprocess\nPopen\n)\x81.",
    "new object with keywords": b"\x80\x04csubprocess\nPopen\n)}\x92.",
    "short string": b"\x80\x04U\x02osU\x06system\x93.",
    "after pop mark": b"\x80\x04(" + text("sklearn") + b"1" + SYSTEM,
    "second protocol": b"\x80\x04\x80\x02c__builtin__\nexec\n.",
    "nested in an array": hidden_in_array(pickle.dumps(Call(exec, "pass"), protocol=5)),
    "after an array": joblib_bytes([np.arange(3.0), Call(exec, "pass")]),
    "dotted": b"\x80\x04" + text("sklearn.base") + text("os.system") + b"\x93.",
    "attribute of a class": b"\x80\x04" + text("sklearn.base") + text("BaseEstimator.__init__.__globals__") + b"\x93.",
    "extension": b"\x80\x02\x82\x01.",
    "made name": b"\x80\x04c_codecs\nencode\n" + text("os") + b"\x85R" + text("system") + b"\x93.",
    "call of a made object": b"\x80\x04cfunctools\npartial\ncbuiltins\nlist\n\x85R)R.",
    "patched class": b"\x80\x04csklearn.base\nBaseEstimator\nN}" + text("predict") + b"cbuiltins\nlist\ns\x86b.",
}


@pytest.mark.parametrize("data", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_whatever_a_model_does_not_need_is_dangerous(data: bytes) -> None:
    assert scan_pickle(data).dangerous


GADGETS = [
    "os.system", "posix.system", "nt.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "builtins.getattr",
    "builtins.__import__", "builtins.open", "importlib.import_module", "runpy.run_path", "operator.attrgetter",
    "numpy.load", "numpy.save", "numpy.memmap", "numpy.fromfile", "numpy.f2py.compile", "numpy.vectorize",
    "numpy.testing._private.utils.runstring", "scipy.stats._continuous_distns.norm_gen", "scipy.io.loadmat",
    "joblib.load", "joblib.numpy_pickle.load", "joblib.numpy_pickle_compat.NDArrayWrapper", "joblib.memory.Memory",
    "pandas.read_pickle", "pandas.eval", "pandas.io.pickle.read_pickle", "pandas.core.frame.eval",
    "sklearn.datasets.fetch_openml", "sklearn.datasets._base.GzipFile", "sklearn.utils._testing.TempMemmap",
    "sklearn.utils.import_module", "sklearn.externals._packaging.Version", "sklearn.callback._transport.ListenerHandle",
    "sklearn.tests.test_base.Evil", "sklearn.base.clone", "antigravity.x", "shipway.models.sklearn.SklearnAdapter",
    "xgboost.core.load", "copyreg.__newobj__",
]  # fmt: skip


@pytest.mark.parametrize("name", GADGETS)
def test_known_gadgets_are_dangerous(name: str) -> None:
    assert verdict(*name.rsplit(".", 1)) == "dangerous"


def test_names_of_unknown_modules_are_foreign() -> None:
    scan = scan_pickle(b"cmine.deep\nScaler\n)\x81.")
    assert scan.foreign == (("mine.deep", "Scaler"),)
    assert not scan.dangerous


@pytest.fixture(scope="module")
def models() -> list[Any]:
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(60, 3)), np.array(["a", "b", "c"] * 20)
    return [
        RandomForestClassifier(3, random_state=np.random.RandomState(0)).fit(rows, labels),
        HistGradientBoostingRegressor(max_iter=3).fit(rows, rows[:, 0]),
        KNeighborsClassifier().fit(rows, labels),
        GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 3]}, cv=2).fit(rows, labels),
        FunctionTransformer(np.log1p),
        np.array([(1, "x")], dtype=[("number", "i4"), ("text", "U5")]),
        np.array(["2020-01-01"], dtype="M8[ns]"),
        np.array(["text", None, 1.5], dtype=object),
        np.array(3.0),
        np.empty((0, 4)),
    ]


@pytest.mark.parametrize("protocol", range(6))
def test_real_models_are_clean_in_every_protocol(models: list[Any], protocol: int) -> None:
    for model in models:
        for data in (pickle.dumps(model, protocol=protocol), joblib_bytes(model, protocol)):
            scan = scan_pickle(data)
            assert not scan.dangerous + scan.foreign, model


def test_pipelines_are_clean_and_tell_the_version(mixed: Any, spam: Any) -> None:
    import sklearn

    for model in (mixed, spam):
        scan = scan_pickle(joblib_bytes(model))
        assert (scan.dangerous, scan.versions) == ((), (sklearn.__version__,))


@pytest.mark.parametrize("protocol", range(6))
def test_every_name_that_the_unpickler_looks_up_is_reported(models: list[Any], protocol: int) -> None:
    for model in models:
        looked_up: list[Any] = []

        class Spy(joblib.numpy_pickle.NumpyUnpickler):  # type: ignore[misc]
            def find_class(self, module: str, name: str, seen: list[Any] = looked_up) -> Any:
                found = super().find_class(module, name)
                seen.append(found)
                return found

        data = joblib_bytes(model, protocol)
        Spy("", io.BytesIO(data), ensure_native_byte_order=True).load()
        reported = [name.rsplit(".", 1) for name in scan_pickle(data).globals]
        assert [getattr(sys.modules[module], name) for module, name in reported] == list(dict.fromkeys(looked_up))


def test_a_cut_pickle_is_never_clean(iris: Any) -> None:
    data = joblib_bytes(iris)
    for size in range(0, len(data), 7):
        with pytest.raises(NotAModel):
            scan_pickle(data[:size])


def test_an_unknown_opcode_is_no_pickle() -> None:
    with pytest.raises(NotAModel, match="unknown opcode"):
        scan_pickle(b"\x80\x04\xff.")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_a_scan_or_not_a_model(data: bytes) -> None:
    for start in (b"", b"\x80\x04"):
        with suppress(NotAModel):
            scan_pickle(start + data)


class Inert:
    """Stands for what a pickle calls, where only the names matter."""

    def __init__(self, *arguments: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_model_never_hides_a_name(data: st.DataObject) -> None:
    """Whatever a byte is changed to: what the real unpickler would import is in the scan, or the scan refuses."""
    original = bytearray(joblib_bytes([np.arange(3.0), np.array(["x"], dtype=object), {"a": np.float64(1)}]))
    for _ in range(data.draw(st.integers(1, 3))):
        original[data.draw(st.integers(0, len(original) - 1))] = data.draw(st.integers(0, 255))
    changed = bytes(original)
    imported: list[str] = []

    class Spy(joblib.numpy_pickle.NumpyUnpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            imported.append(f"{module}.{name}")
            real = name in {"NumpyArrayWrapper", "dtype", "ndarray"} and verdict(module, name) == "allowed"
            return super().find_class(module, name) if real else Inert

    try:
        scan = scan_pickle(changed)
    except NotAModel:
        return
    if scan.dangerous:
        return
    with suppress(Exception):
        Spy("", io.BytesIO(changed), ensure_native_byte_order=True).load()
    assert set(imported) <= set(scan.globals)


def wrapper(shape: bytes, dtype: bytes = b"", *, frame: bool = False) -> bytes:
    """The opcodes of joblib's wrapper of an array up to BUILD, by hand."""
    state = (
        b"}(" + text("subclass") + b"cnumpy\nndarray\n" + text("shape") + shape + text("order") + text("C")
        + text("dtype") + (dtype or b"cnumpy\ndtype\n" + text("u1") + b"\x89\x88\x87R")
        + text("numpy_array_alignment_bytes") + b"Nu"
    )  # fmt: skip
    body = b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81" + state + b"b"
    if frame:
        body = b"\x95" + struct.pack("<Q", len(body) + 2) + body
    return b"\x80\x04" + body


def test_the_wrapper_by_hand_is_what_joblib_reads() -> None:
    data = wrapper(b"K\x03\x85") + b"\x01\x02\x03."
    assert joblib.load(io.BytesIO(data)).tolist() == [1, 2, 3]
    assert not scan_pickle(data).dangerous


@pytest.mark.parametrize(
    "data",
    [
        wrapper(b"K\x1b\x85", frame=True) + b"0" + SYSTEM,
        wrapper(b"]K\x1ba") + SYSTEM,
        wrapper(b"cbuiltins\ntuple\n]\x85R") + SYSTEM,
        wrapper(b"K\x03\x85", b"cnumpy\ndtype\n" + text("u1") + b"\x85R") + SYSTEM,
        b"\x80\x04cbuiltins\nlist\n(cjoblib.numpy_pickle\nNumpyArrayWrapper\ntR.",
        b"\x80\x04(cjoblib.numpy_pickle\nNumpyArrayWrapper\nl.",
        b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n)R.",
        hidden_in_array(wrapper(b"K\x03\x85") + b"\x01\x02\x03."),
    ],
    ids=["within a frame", "list", "made", "dtype", "argument", "in a list", "called", "nested"],
)
def test_an_array_whose_end_cannot_be_told_is_dangerous(data: bytes) -> None:
    assert scan_pickle(data).dangerous


def test_a_dtype_that_denies_its_objects_is_dangerous() -> None:
    fields = b"}" + text("a") + b"cnumpy\ndtype\n" + text("O8") + b"\x89\x88\x87RK\x00\x86s"
    state = b"(K\x03" + text("|") + b"N" + text("a") + b"\x85" + fields + b"K\x08K\x01K\x00t"
    assert scan_pickle(b"\x80\x04cnumpy\ndtype\n" + text("V8") + b"\x89\x88\x87R" + state + b"b.").dangerous


def test_an_array_of_fewer_objects_than_its_shape_is_dangerous() -> None:
    """numpy reads them all the same, from behind the list."""
    whole = pickle.dumps(np.array(["x"], dtype=object), protocol=4)
    assert whole.count(b"(K\x01K\x01\x85") == 1
    assert not scan_pickle(whole).dangerous
    assert scan_pickle(whole.replace(b"(K\x01K\x01\x85", b"(K\x01K\x7f\x85")).dangerous


@pytest.mark.parametrize("call", [b"cbuiltins\ntuple\n", b"cpandas.core.series\nSeries\n"])
def test_a_dtype_of_objects_reaches_no_call(call: bytes) -> None:
    dtype = b"cnumpy\ndtype\n" + text("O8") + b"\x89\x88\x87R"
    mapping = b"}\x94" + text("a") + dtype + b"s"
    estimator = b"csklearn.base\nBaseEstimator\n)\x81"
    assert not scan_pickle(b"\x80\x04" + estimator + mapping + b"b.").dangerous
    assert scan_pickle(b"\x80\x04" + call + b"]" + dtype + b"a\x85R.").dangerous
    assert scan_pickle(b"\x80\x04" + estimator + mapping + b"b0" + call + b"h\x00\x85R.").dangerous


def test_deep_tuples_and_self_references_end() -> None:
    deep = b"\x80\x04)" + b"2\x86" * 50_000 + b"."
    assert scan_pickle(deep).dangerous == ()
    loop = b"\x80\x04}\x94" + text("a") + b"h\x00\x85s" + b"]h\x00a."
    assert scan_pickle(loop[:-1] + b"0.").dangerous == ()
