"""Follows a pickle opcode by opcode as the unpickler would, with symbols in place of objects: nothing is ever called.

It mirrors `pickle._Unpickler` (what `joblib.load` runs) exactly where that decides which bytes are opcodes and which
name an opcode means: stack and marks, memo, frames, Python 2 names below protocol 3, and the raw array bytes that
joblib puts into the stream. Only constants, tuples and mappings are kept; all else is `UNKNOWN`. Where the outcome
would depend on what an unknown object is, it stops with `Unfollowable` and never guesses.
"""

from __future__ import annotations

import _compat_pickle
import codecs
import pickle
from collections.abc import Callable, Iterable
from typing import Any

from shipway.models.symbols import (
    DTYPE,
    UNKNOWN,
    WRAPPER,
    ArrayWrapper,
    DType,
    Global,
    Items,
    Mapping,
    NumpyArray,
    Unfollowable,
    make_dtype,
    make_tuple,
)

__all__ = ["Broken", "Findings", "run_pickle"]

_FOLLOWED = frozenset({WRAPPER, DTYPE})
_EMPTY_ARRAYS = frozenset(
    {
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
        "numpy.ma.core._mareconstruct",
    }
)
_VERSION_KEY = "_sklearn_version"


class Broken(Exception):
    """The bytes are no pickle, or one that is cut short."""


class Findings:
    """What was seen on the way.

    Attributes:
        names: (module, name) of each name imported, in order, once each.
        suspicions: things done that no model needs, in words.
        versions: what estimators say of the scikit-learn that wrote them.
    """

    def __init__(self) -> None:
        self.names: dict[tuple[str, str], None] = {}
        self.suspicions: dict[str, None] = {}
        self.versions: dict[str, None] = {}


def run_pickle(data: bytes, findings: Findings) -> None:
    """Follows the pickle in `data`, arrays of joblib included, up to its STOP; fills in `findings` as it goes.

    Raises:
        Broken: it is no pickle or cut short.
        Unfollowable: from some opcode on it cannot be told what it would do.
    """
    _Machine(data, 0, findings, joblib=True).run()


class _Machine:
    def __init__(self, data: bytes, position: int, findings: Findings, *, joblib: bool) -> None:
        self._data = data
        self._position = position
        self._findings = findings
        self._joblib = joblib
        self._frame_end = 0
        self._protocol = 0
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> int:
        """Runs to STOP; gives the position after it."""
        try:
            while (code := self._byte()) != _STOP:
                operation = _OPERATIONS.get(code)
                if operation is None:
                    raise Broken(f"unknown opcode {code:#04x} at byte {self._position - 1}")
                operation(self)
            self._pop()
        except (IndexError, KeyError, ValueError) as error:
            raise Broken(f"invalid at byte {self._position}: {error}") from error
        return self._position

    # Bytes

    def _byte(self) -> int:
        self._position += 1
        try:
            return self._data[self._position - 1]
        except IndexError as error:
            raise Broken("cut short") from error

    def _skip(self, size: int) -> None:
        if size < 0:
            raise Broken(f"negative size at byte {self._position}")
        self._position += size
        if self._position > len(self._data):
            raise Broken("cut short")

    def _take(self, size: int) -> bytes:
        start = self._position
        self._skip(size)
        return self._data[start : self._position]

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self._position)
        if end < 0:
            raise Broken("cut short")
        return self._take(end + 1 - self._position)[:-1]

    def _unsigned(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _signed(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little", signed=True)

    # Stack

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        return self._stack.pop()

    def _pop_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._outer.pop()
        return items

    def mark(self) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def pop(self) -> None:
        if self._stack:
            del self._stack[-1]
        else:
            self._pop_mark()

    def pop_mark(self) -> None:
        self._pop_mark()

    def duplicate(self) -> None:
        self._push(self._stack[-1])

    def _remember(self, index: int) -> None:
        if index < 0:
            raise Broken("negative memo index")
        self._memo[index] = self._stack[-1]

    def memoize(self) -> None:
        self._remember(len(self._memo))

    # Framing

    def protocol(self) -> None:
        self._protocol = self._byte()
        if self._protocol > pickle.HIGHEST_PROTOCOL:
            raise Broken(f"pickle protocol {self._protocol}")

    def frame(self) -> None:
        size = self._unsigned(8)
        if self._position < self._frame_end:
            raise Broken("a frame within a frame")
        self._frame_end = self._position + size
        if self._frame_end > len(self._data):
            raise Broken("cut short")

    # Constants

    def integer(self) -> None:
        line = self._line()
        self._push({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line, 0))

    def long(self) -> None:
        self._push(int(self._line().removesuffix(b"L"), 0))

    def _long_of(self, size: int) -> None:
        if size > 8:
            self._opaque(size)
        else:
            self._push(self._signed(size))

    def float_text(self) -> None:
        self._line()
        self._push(UNKNOWN)

    def string(self) -> None:
        line = self._line()
        if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b'"', b"'"):
            raise Broken("a string without quotes")
        self._push(codecs.escape_decode(line[1:-1])[0].decode("ascii"))

    def _binary_string(self, size: int) -> None:
        self._push(self._take(size).decode("ascii"))

    def unicode_line(self) -> None:
        self._push(self._line().decode("raw-unicode-escape"))

    def _unicode(self, size: int) -> None:
        self._push(self._take(size).decode("utf-8", "surrogatepass"))

    def _opaque(self, size: int) -> None:
        self._skip(size)
        self._push(UNKNOWN)

    def read_only(self) -> None:
        self._forget(self._pop())
        self._push(UNKNOWN)

    def impossible(self) -> None:
        raise Broken(f"an opcode at byte {self._position - 1} that needs what no file holds")

    # Containers

    def _tuple_of(self, size: int) -> None:
        items = self._stack[len(self._stack) - size :]
        if len(items) < size:
            raise Broken("stack underflow")
        del self._stack[len(self._stack) - size :]
        self._push_tuple(items)

    def tuple_(self) -> None:
        self._push_tuple(self._pop_mark())

    def _push_tuple(self, items: list[Any]) -> None:
        value, lost = make_tuple(items)
        self._forget(*lost)
        self._push(value)

    def collection(self) -> None:
        self._forget(*self._pop_mark())
        self._push(UNKNOWN)

    def mapping(self) -> None:
        items = self._pop_mark()
        self._push(Mapping())
        self._set_items(items)

    def list_(self) -> None:
        items = self._pop_mark()
        self._forget(*items)
        self._push(Items(len(items)))

    def append(self) -> None:
        self._add([self._pop()])

    def appends(self) -> None:
        self._add(self._pop_mark())

    def _add(self, items: list[Any]) -> None:
        self._forget(*items)
        target = self._stack[-1]
        if isinstance(target, Items):
            target.length += len(items)
        else:
            self._change(target)

    def set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def set_items(self) -> None:
        self._set_items(self._pop_mark())

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if len(items) % 2:
            raise Broken("a key without a value")
        if not isinstance(target, Mapping):
            self._forget(*items)
            self._change(target)
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not target.put(key, value):
                self._forget(key, value, target)

    def _change(self, target: Any) -> None:
        """Notes that `target` takes items: lists do, and what else has methods for it; names and arrays do not."""
        if isinstance(target, Global):
            self._suspect(f"changes {target.name}")
        elif target is not UNKNOWN:
            raise Unfollowable("it adds items to what is no collection")

    # Names and calls

    def _name(self, module: str, name: str) -> Global:
        if self._protocol < 3:
            renamed = _compat_pickle.NAME_MAPPING.get((module, name))
            module, name = renamed or (_compat_pickle.IMPORT_MAPPING.get(module, module), name)
        self._findings.names[module, name] = None
        return Global(f"{module}.{name}")

    def global_(self) -> None:
        module, name = self._line().decode("utf-8"), self._line().decode("utf-8")
        self._push(self._name(module, name))

    def stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise Unfollowable("it imports a name that it makes while it is opened")
        self._push(self._name(module, name))

    def _extension(self, size: int) -> None:
        self._skip(size)
        raise Unfollowable("it imports a name from the registry of extensions of the Python that opens it")

    def instance(self) -> None:
        target = self._name(self._line().decode("ascii"), self._line().decode("ascii"))
        self._push(self._call(target, tuple(self._pop_mark())))

    def object_(self) -> None:
        target, *arguments = self._pop_mark()
        self._push(self._call(target, tuple(arguments)))

    def reduce(self) -> None:
        arguments, target = self._pop(), self._pop()
        self._push(self._call(target, arguments))

    def new_object(self) -> None:
        arguments, cls = self._pop(), self._pop()
        wrapper = isinstance(cls, Global) and cls.name == WRAPPER and arguments == ()
        self._push(ArrayWrapper() if wrapper else self._make(cls, arguments))

    def new_object_with_keywords(self) -> None:
        keywords, arguments, cls = self._pop(), self._pop(), self._pop()
        self._push(self._make(cls, arguments, keywords))

    def _make(self, cls: Any, *arguments: Any) -> Any:
        if not isinstance(cls, Global):
            self._suspect("makes an object of a class that it makes while it is opened")
        self._forget(cls, *arguments)
        return UNKNOWN

    def _call(self, target: Any, arguments: Any) -> Any:
        match target:
            case Global(name=name) if name == DTYPE:
                return make_dtype(arguments)
            case Global(name="copyreg._reconstructor"):
                match arguments:
                    case (Global(name=cls), Global(name="builtins.object"), None) if cls == WRAPPER:
                        return ArrayWrapper()
            case Global(name=name) if name in _EMPTY_ARRAYS:
                self._forget(arguments)
                return NumpyArray()
            case Global():
                pass  # what it does is judged by its name
            case _:
                self._suspect("calls something that it makes while it is opened")
        self._forget(target, arguments)
        return UNKNOWN

    def build(self) -> None:
        state = self._pop()
        target = self._stack[-1]
        if isinstance(target, ArrayWrapper):
            target.update(state)
            self._read_array(target)
            self._stack[-1] = UNKNOWN
        elif isinstance(target, DType | NumpyArray):
            target.set_state(state)
        else:
            if isinstance(target, Global):
                self._suspect(f"changes {target.name}")
            elif target is not UNKNOWN and not isinstance(target, Mapping | Items):
                raise Unfollowable("it gives a state to what has none")
            if isinstance(state, Mapping) and isinstance(version := state.items.get(_VERSION_KEY), str):
                self._findings.versions[version] = None
            self._forget(target)
            self._forget_state(state)

    def _suspect(self, what: str) -> None:
        self._findings.suspicions[what] = None

    def _forget(self, *values: Any) -> None:
        """Notes that `values` go where they cannot be followed; raises for what must be."""
        waiting = list(values)
        while waiting:
            match waiting.pop():
                case tuple() as items:
                    waiting.extend(items)
                case Mapping(holds_objects=True) | DType(has_object=True):
                    raise Unfollowable("it does something with numpy's dtype of objects that numpy does not")
                case Mapping() as mapping:
                    waiting.extend(mapping.let_go())
                case Items() as items:
                    items.known = False
                case ArrayWrapper():
                    raise Unfollowable("it does something with joblib's arrays that joblib does not")
                case Global(name=name) if name in _FOLLOWED:
                    raise Unfollowable(f"it does something with {name} that joblib and numpy do not")

    def _forget_state(self, state: Any) -> None:
        """Forgets the state of an object: among its attributes, and only there, a dtype of objects may be."""
        if not isinstance(state, Mapping):
            self._forget(state)
            return
        values = state.let_go()
        objects = [value for value in values if isinstance(value, DType) and value.has_object]
        state.holds_objects = state.holds_objects or bool(objects)
        self._forget(*(value for value in values if not any(value is one for one in objects)))

    def _read_array(self, wrapper: ArrayWrapper) -> None:
        """Skips the bytes that joblib reads after the wrapper of an array, or follows the pickle that is there."""
        if not self._joblib:
            raise Unfollowable("an array of joblib's within a nested pickle")
        if self._position < self._frame_end:
            # The unpickler has the frame in memory and would read the array from behind it.
            raise Unfollowable("an array of joblib's within a frame")
        dtype = wrapper.dtype()
        if dtype.has_object:
            self._position = _Machine(self._data, self._position, self._findings, joblib=False).run()
            return
        if wrapper.is_padded():
            self._skip(self._byte())
        self._skip(wrapper.count() * dtype.itemsize)


def _sized(read: Callable[[_Machine, int], None], size: int, *, signed: bool = False) -> Callable[[_Machine], None]:
    """Gives the operation whose argument follows a length of `size` bytes."""

    def operation(machine: _Machine) -> None:
        read(machine, machine._signed(size) if signed else machine._unsigned(size))

    return operation


def _read(value: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    return lambda machine: machine._push(value(machine))


def _constant(value: Any) -> Callable[[_Machine], None]:
    return lambda machine: machine._push(value)


def _line_index(machine: _Machine) -> int:
    return int(machine._line())


def _of(read: Callable[[_Machine, int], None], argument: int) -> Callable[[_Machine], None]:
    return lambda machine: read(machine, argument)


def _put(index: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    return lambda machine: machine._remember(index(machine))


def _get(index: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    return lambda machine: machine._push(machine._memo[index(machine)])


def _codes(table: Iterable[tuple[bytes, Callable[[_Machine], None]]]) -> dict[int, Callable[[_Machine], None]]:
    return {code[0]: operation for code, operation in table}


_STOP = pickle.STOP[0]
_OPERATIONS: dict[int, Callable[[_Machine], None]] = _codes(
    [
        (pickle.PROTO, _Machine.protocol),
        (pickle.FRAME, _Machine.frame),
        (pickle.PERSID, _Machine.impossible),
        (pickle.BINPERSID, _Machine.impossible),
        (pickle.NEXT_BUFFER, _Machine.impossible),
        (pickle.READONLY_BUFFER, _Machine.read_only),
        (pickle.NONE, _constant(None)),
        (pickle.NEWTRUE, _constant(True)),
        (pickle.NEWFALSE, _constant(False)),
        (pickle.INT, _Machine.integer),
        (pickle.BININT, _read(lambda machine: machine._signed(4))),
        (pickle.BININT1, _read(lambda machine: machine._unsigned(1))),
        (pickle.BININT2, _read(lambda machine: machine._unsigned(2))),
        (pickle.LONG, _Machine.long),
        (pickle.LONG1, _sized(_Machine._long_of, 1)),
        (pickle.LONG4, _sized(_Machine._long_of, 4, signed=True)),
        (pickle.FLOAT, _Machine.float_text),
        (pickle.BINFLOAT, _of(_Machine._opaque, 8)),
        (pickle.STRING, _Machine.string),
        (pickle.BINSTRING, _sized(_Machine._binary_string, 4, signed=True)),
        (pickle.SHORT_BINSTRING, _sized(_Machine._binary_string, 1)),
        (pickle.BINBYTES, _sized(_Machine._opaque, 4)),
        (pickle.SHORT_BINBYTES, _sized(_Machine._opaque, 1)),
        (pickle.BINBYTES8, _sized(_Machine._opaque, 8)),
        (pickle.BYTEARRAY8, _sized(_Machine._opaque, 8)),
        (pickle.UNICODE, _Machine.unicode_line),
        (pickle.BINUNICODE, _sized(_Machine._unicode, 4)),
        (pickle.SHORT_BINUNICODE, _sized(_Machine._unicode, 1)),
        (pickle.BINUNICODE8, _sized(_Machine._unicode, 8)),
        (pickle.TUPLE, _Machine.tuple_),
        (pickle.EMPTY_TUPLE, _of(_Machine._tuple_of, 0)),
        (pickle.TUPLE1, _of(_Machine._tuple_of, 1)),
        (pickle.TUPLE2, _of(_Machine._tuple_of, 2)),
        (pickle.TUPLE3, _of(_Machine._tuple_of, 3)),
        (pickle.EMPTY_LIST, _read(lambda _: Items())),
        (pickle.EMPTY_SET, _constant(UNKNOWN)),
        (pickle.EMPTY_DICT, _read(lambda _: Mapping())),
        (pickle.LIST, _Machine.list_),
        (pickle.FROZENSET, _Machine.collection),
        (pickle.DICT, _Machine.mapping),
        (pickle.APPEND, _Machine.append),
        (pickle.APPENDS, _Machine.appends),
        (pickle.ADDITEMS, _Machine.appends),
        (pickle.SETITEM, _Machine.set_item),
        (pickle.SETITEMS, _Machine.set_items),
        (pickle.MARK, _Machine.mark),
        (pickle.POP, _Machine.pop),
        (pickle.POP_MARK, _Machine.pop_mark),
        (pickle.DUP, _Machine.duplicate),
        (pickle.PUT, _put(_line_index)),
        (pickle.BINPUT, _put(_Machine._byte)),
        (pickle.LONG_BINPUT, _put(lambda machine: machine._unsigned(4))),
        (pickle.MEMOIZE, _Machine.memoize),
        (pickle.GET, _get(_line_index)),
        (pickle.BINGET, _get(_Machine._byte)),
        (pickle.LONG_BINGET, _get(lambda machine: machine._unsigned(4))),
        (pickle.GLOBAL, _Machine.global_),
        (pickle.STACK_GLOBAL, _Machine.stack_global),
        (pickle.EXT1, _of(_Machine._extension, 1)),
        (pickle.EXT2, _of(_Machine._extension, 2)),
        (pickle.EXT4, _of(_Machine._extension, 4)),
        (pickle.INST, _Machine.instance),
        (pickle.OBJ, _Machine.object_),
        (pickle.REDUCE, _Machine.reduce),
        (pickle.NEWOBJ, _Machine.new_object),
        (pickle.NEWOBJ_EX, _Machine.new_object_with_keywords),
        (pickle.BUILD, _Machine.build),
    ]
)
