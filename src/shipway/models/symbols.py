"""What stands for objects while a pickle is followed: names, tuples, mappings, and arrays as joblib writes them.

joblib puts the raw bytes of an array into the pickle stream, behind an object that tells their number. So that object
and its dtype are followed exactly; whatever could make them other than they seem is refused.

numpy believes what a pickle says of an array of objects: it reads as many from a list as the shape says, though the
list be shorter (numpy 2.4 crashes on it). So arrays are followed too, and a dtype of objects goes nowhere else.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = [
    "DTYPE",
    "UNKNOWN",
    "WRAPPER",
    "ArrayWrapper",
    "DType",
    "Global",
    "Items",
    "Mapping",
    "NumpyArray",
    "Unfollowable",
    "make_dtype",
    "make_tuple",
]

WRAPPER: Final = "joblib.numpy_pickle.NumpyArrayWrapper"
DTYPE: Final = "numpy.dtype"

_MAX_TUPLE = 64
_MAX_MAPPING = 256
_DTYPE = re.compile(r"([biufcmMOSUV])([1-9]\d{0,8})", re.ASCII)
_ARRAY_TYPES = frozenset({"numpy.ndarray", "numpy.matrix", "numpy.matrixlib.defmatrix.matrix"})
# numpy's flags of a dtype: all six of `object`; of others only those for initialising, Python's API and alignment.
_OBJECT_FLAGS = 63
_PLAIN_FLAGS = 8 | 16 | 128


class Unfollowable(Exception):
    """What the pickle does from here on depends on what an object is that only the unpickler has."""


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""Any object that need not be followed."""


@dataclass(frozen=True, slots=True)
class Global:
    """An imported name."""

    name: str


@dataclass(eq=False, slots=True)
class Mapping:
    """A dict, as far as its keys are constant texts.

    Attributes:
        items: the entries.
        known: whether these are all, and nobody else can change them.
        holds_objects: whether a dtype of objects is in a mapping that was given away.
    """

    items: dict[str, Any] = field(default_factory=dict)
    known: bool = True
    holds_objects: bool = False

    def put(self, key: Any, value: Any) -> bool:
        """Sets an entry; False where it cannot be kept."""
        if not self.known or not isinstance(key, str) or len(self.items) >= _MAX_MAPPING:
            return False
        self.items[key] = value
        return True

    def let_go(self) -> list[Any]:
        """Gives the mapping away to what may change it; gives the values that went with it, the first time."""
        values = list(self.items.values()) if self.known else []
        self.known = False
        self.items.clear()
        return values


@dataclass(eq=False, slots=True)
class Items:
    """A list.

    Attributes:
        length: of it.
        known: whether nobody else can change it.
    """

    length: int = 0
    known: bool = True


@dataclass(eq=False, slots=True)
class DType:
    """A numpy dtype.

    Attributes:
        kind: its letter.
        itemsize: bytes an element.
        has_object: whether elements hold references to objects.
    """

    kind: str
    itemsize: int
    has_object: bool

    def set_state(self, state: Any) -> None:
        """Checks the state that a pickle gives a dtype: it must say what `make_dtype` was told.

        numpy believes a state: one whose flags deny the objects in its fields would turn bytes into pointers.

        Raises:
            Unfollowable: it does not, or is of a form that models do not have.
        """
        match state:
            case (int(), str(), None, names, fields, int(size), int(), int(flags), *rest):
                consistent = (
                    (flags == _OBJECT_FLAGS if self.has_object else flags | _PLAIN_FLAGS == _PLAIN_FLAGS)
                    and size in {-1, self.itemsize}
                    and self._fields_fit(names, fields)
                    and len(rest) == (1 if self.kind in "mM" else 0)
                )
            case _:
                consistent = False
        if not consistent:
            raise Unfollowable("a numpy dtype whose state does not fit it")

    def _fields_fit(self, names: Any, fields: Any) -> bool:
        if names is None and fields is None:
            return True
        if self.kind != "V" or not isinstance(fields, Mapping) or not fields.known or not isinstance(names, tuple):
            return False
        return set(names) == set(fields.items) and all(self._field_fits(place) for place in fields.items.values())

    def _field_fits(self, place: Any) -> bool:
        match place:
            case (DType(itemsize=size, has_object=False), int(offset)):
                return offset >= 0 and offset + size <= self.itemsize
            case _:
                return False


class NumpyArray:
    """An array that numpy makes empty and then gives its state."""

    def set_state(self, state: Any) -> None:
        """Checks the state: shape and, of an array of objects, as many of them.

        Raises:
            Unfollowable: it is of another form, or of another length than its shape.
        """
        match state:
            case (int(), tuple() as shape, DType() as dtype, _, cells, *_) if _are_sizes(shape):
                consistent = not dtype.has_object or (
                    isinstance(cells, Items) and cells.known and cells.length == math.prod(shape)
                )
            case _:
                consistent = False
        if not consistent:
            raise Unfollowable("a numpy array whose state does not fit it")


class ArrayWrapper:
    """joblib's `NumpyArrayWrapper`: what it says of the array whose bytes follow."""

    def __init__(self) -> None:
        self._attributes: dict[str, Any] = {}

    def update(self, state: Any) -> None:
        """Takes the state that BUILD gives.

        Raises:
            Unfollowable: it is no mapping of known entries.
        """
        if not isinstance(state, Mapping) or not state.known:
            raise Unfollowable("an array of joblib's whose attributes are not constant")
        self._attributes |= state.items
        subclass = self._attributes.get("subclass")
        if not isinstance(subclass, Global) or subclass.name not in _ARRAY_TYPES:
            raise Unfollowable("an array of joblib's of an unknown type")

    def dtype(self) -> DType:
        """Gives the elements' dtype."""
        dtype = self._attributes.get("dtype")
        if not isinstance(dtype, DType):
            raise Unfollowable("an array of joblib's of an unknown dtype")
        return dtype

    def is_padded(self) -> bool:
        """Whether a byte that counts padding, and the padding, stand before the elements (joblib 1.2 and later)."""
        alignment = self._attributes.get("numpy_array_alignment_bytes")
        if alignment is not None and not isinstance(alignment, int):
            raise Unfollowable("an array of joblib's of an unknown alignment")
        return alignment is not None

    def count(self) -> int:
        """Gives the number of elements."""
        shape = self._attributes.get("shape")
        if not isinstance(shape, tuple) or not _are_sizes(shape):
            raise Unfollowable("an array of joblib's of an unknown shape")
        return math.prod(shape)


def _are_sizes(shape: tuple[Any, ...]) -> bool:
    return all(type(size) is int and size >= 0 for size in shape)


def make_tuple(items: list[Any]) -> tuple[Any, list[Any]]:
    """Gives a tuple as far as it can be followed, and what of `items` cannot be in it.

    Attributes of arrays lie in short tuples, at most one within another; all else counts as `UNKNOWN`.
    """
    if len(items) > _MAX_TUPLE:
        return UNKNOWN, items
    deep = [item for item in items if isinstance(item, tuple) and any(isinstance(inner, tuple) for inner in item)]
    return tuple(UNKNOWN if any(item is one for one in deep) else item for item in items), deep


def make_dtype(arguments: Any) -> DType:
    """Gives the dtype that `numpy.dtype(*arguments)` makes.

    Raises:
        Unfollowable: the call is not of the form that numpy pickles a dtype with.
    """
    match arguments:
        case (str(code), 0 | 1, 0 | 1) if found := _DTYPE.fullmatch(code):
            kind, number = found[1], int(found[2])
            return DType(kind, number * 4 if kind == "U" else number, kind == "O")
    raise Unfollowable("a numpy dtype made in a way that numpy does not pickle it")
