"""Which names a model's pickle may use: an allow-list, closed under calls with any arguments.

A pickle calls what it names with arguments of its choice. So a name is allowed only where every such call is harmless:
value types, the constructors of estimators, and the functions that numpy, scipy, pandas and Cython rebuild objects
with. Functions that open files, run text, look up attributes or import are not, however useful; neither are classes
whose `__setstate__` runs text, such as all of `scipy.stats` (`rv_generic` executes a template that it keeps as state).
"""

from __future__ import annotations

import re
import sys
from typing import Literal

__all__ = ["MODEL_LIBRARIES", "Verdict", "verdict"]

Verdict = Literal["allowed", "foreign", "dangerous"]
"""`allowed`: known and harmless. `foreign`: of a module that Shipway does not know. `dangerous`: anything else."""

MODEL_LIBRARIES = frozenset({"catboost", "category_encoders", "imblearn", "lightgbm", "xgboost"})
"""Installed packages whose classes are models, though they are none of scikit-learn's."""

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_CLASS = re.compile(r"_*[A-Z]\w*", re.ASCII)

_STANDARD = {
    "builtins": "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple",
    "collections": "Counter OrderedDict defaultdict deque",
    "copyreg": "_reconstructor",
    "_codecs": "encode",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "functools": "partial",
    "re": "_compile",
}
# numpy's universal functions, which FunctionTransformer is given.
_UFUNCS = (
    "abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt ceil conjugate cos cosh deg2rad "
    "degrees divide equal exp exp2 expm1 fabs floor floor_divide fmax fmin fmod greater greater_equal hypot "
    "isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or maximum "
    "minimum mod multiply negative not_equal positive power rad2deg radians reciprocal remainder rint sign sin sinh "
    "sqrt square subtract tan tanh true_divide trunc"
)
_NUMPY_TYPES = (
    "bool bool_ bytes_ complex128 complex64 datetime64 float16 float32 float64 int16 int32 int64 int8 intc longdouble "
    "longlong object_ str_ timedelta64 uint16 uint32 uint64 uint8 uintc ulonglong void"
)
_BIT_GENERATORS = {
    f"numpy.random._{name.lower()}": name for name in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
}
_NUMPY = {
    "numpy": f"dtype matrix mean median ndarray nan_to_num {_NUMPY_TYPES} {_UFUNCS}",
    "numpy.ma": "MaskedArray",
    "numpy.ma.core": "MaskedArray _mareconstruct",
    "numpy.random._generator": "Generator",
    "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
    "numpy.random.mtrand": "RandomState",
    "numpy.matrixlib.defmatrix": "matrix",
    **{
        f"numpy.{core}.{module}": names
        for core in ("core", "_core")
        for module, names in {
            "multiarray": "_reconstruct scalar",
            "numeric": "_frombuffer",
            "_multiarray_umath": _UFUNCS,
            "umath": _UFUNCS,
        }.items()
    },
    **_BIT_GENERATORS,
}
_SPARSE = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
_SCIPY = {
    "scipy.sparse": " ".join(f"{kind}_matrix {kind}_array" for kind in _SPARSE),
    **{f"scipy.sparse.{mark}{kind}": f"{kind}_matrix {kind}_array" for kind in _SPARSE for mark in ("", "_")},
    "scipy.interpolate._bsplines": "BSpline",
    "scipy._lib.array_api_compat.numpy._aliases": "asarray",
}
_PANDAS_VALUES = (
    "Categorical CategoricalDtype CategoricalIndex DataFrame DatetimeIndex Float32Dtype Float64Dtype Index Int16Dtype "
    "Int32Dtype Int64Dtype Int8Dtype Interval IntervalIndex MultiIndex NA RangeIndex Series StringDtype Timedelta "
    "TimedeltaIndex Timestamp UInt16Dtype UInt32Dtype UInt64Dtype UInt8Dtype BooleanDtype"
)
_PANDAS = {
    "pandas": _PANDAS_VALUES,
    "pandas.arrays": (
        "BooleanArray DatetimeArray FloatingArray IntegerArray NumpyExtensionArray StringArray TimedeltaArray"
    ),
    "pandas._libs.arrays": "__pyx_unpickle_NDArrayBacked",
    "pandas._libs.internals": "_unpickle_block",
    "pandas._libs.missing": "NA _unpickle_NA",
    "pandas._libs.tslibs.timestamps": "_unpickle_timestamp",
    "pandas.core.arrays.boolean": "BooleanArray BooleanDtype",
    "pandas.core.arrays.categorical": "Categorical",
    "pandas.core.arrays.floating": "FloatingArray Float32Dtype Float64Dtype",
    "pandas.core.arrays.integer": "IntegerArray Int8Dtype Int16Dtype Int32Dtype Int64Dtype",
    "pandas.core.arrays.string_": "StringArray StringDtype",
    "pandas.core.dtypes.dtypes": "CategoricalDtype",
    "pandas.core.frame": "DataFrame",
    "pandas.core.indexes.base": "Index _new_Index",
    "pandas.core.indexes.category": "CategoricalIndex",
    "pandas.core.indexes.multi": "MultiIndex",
    "pandas.core.indexes.range": "RangeIndex",
    "pandas.core.internals.managers": "BlockManager SingleBlockManager",
    "pandas.core.series": "Series",
}
_ALLOWED = frozenset(
    (module, name)
    for table in (_STANDARD, _NUMPY, _SCIPY, _PANDAS, {"joblib.numpy_pickle": "NumpyArrayWrapper"})
    for module, names in table.items()
    for name in names.split()
)

# Within scikit-learn: what is no model, and the functions that estimators are given as parameters or rebuilt with.
_SKLEARN_DENIED = frozenset(
    {
        "__check_build",
        "_build_utils",
        "_min_dependencies",
        "_mocking",
        "_plotting",
        "_show_versions",
        "_test_common",
        "_testing",
        "callback",
        "conftest",
        "datasets",
        "discovery",
        "estimator_checks",
        "externals",
        "inspection",
        "tests",
    }
)
_SKLEARN_FUNCTIONS = re.compile(
    r"sklearn\.[\w.]+\.(__pyx_unpickle_\w+|newObj)"
    r"|sklearn\.feature_selection\._(univariate_selection|mutual_info_)\.(chi2|f_\w+|r_regression|mutual_info_\w+)"
    r"|sklearn\.metrics\._(classification|ranking|regression)\.\w+_(score|error|loss|deviance|curve|coef)"
    r"|sklearn\.metrics\._regression\.median_absolute_error"
    r"|sklearn\.metrics\.pairwise\.\w+_(kernel|distances|similarity)"
    r"|sklearn\.cluster\._kmeans\._kmeans_single_(lloyd|elkan)"
    r"|sklearn\.decomposition\._fastica\.(_logcosh|_exp|_cube)"
    r"|sklearn\.compose\._column_transformer\.make_column_selector"
    r"|sklearn\.feature_extraction\.text\.strip_(accents_ascii|accents_unicode|tags)",
    re.ASCII,
)


def verdict(module: str, name: str) -> Verdict:
    """Judges one name that a pickle imports, as (module, name) of its GLOBAL or STACK_GLOBAL opcode.

    A dotted `name` walks through attributes, and so anywhere: it is dangerous.
    """
    if not _MODULE.fullmatch(module) or not _NAME.fullmatch(name):
        return "dangerous"
    if (module, name) in _ALLOWED:
        return "allowed"
    top, *rest = module.split(".")
    if top == "sklearn":
        known = _CLASS.fullmatch(name) or _SKLEARN_FUNCTIONS.fullmatch(f"{module}.{name}")
        return "allowed" if known and _SKLEARN_DENIED.isdisjoint(rest) else "dangerous"
    if top in MODEL_LIBRARIES:
        return "foreign" if _CLASS.fullmatch(name) and _SKLEARN_DENIED.isdisjoint(rest) else "dangerous"
    if top in sys.stdlib_module_names or top in {"joblib", "numpy", "pandas", "scipy", "shipway"}:
        # `__main__` is no module of the standard library by that list: a notebook's own class is foreign.
        return "dangerous"
    return "foreign"
