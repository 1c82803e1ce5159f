"""Every error that Shipway raises on purpose, in one tree; the class says whose fault it is.

- ShipwayError
  - UsageError               the command, call or setting is misused
  - ArtefactError            what the user brought is not what it should be
    - NotAModel              no adapter knows it, or it is cut short
    - DangerousPickle        opening it would run something that is no model
    - MissingSymbol          a pickle needs the user's own module
    - VersionMismatch        made with another version of its framework
    - SampleMismatch         the sample's columns do not fit the model
    - GoldenMismatch         it answers other than when it was packed
    - NotCompilable          no compiled form; the original serves (a reason, seldom a failure)
  - StoreError               the store or a bundle in it
    - NotAStore, UnknownBundle, CorruptBlob
  - MachineError             what this machine lacks
    - MissingDependency, PortInUse, DiskFull
  - RemoteError              a registry or server that was asked did not answer as it should
  - TargetError              a cluster or Docker host refuses, or does not come to what it was asked for
    - UnknownRelease, NotAllowed, Contested, ReleaseFailed, Interrupted
  - RequestError             the caller of the API
    - MalformedBody, Unauthorized, UnknownModel, UnknownRoute, MethodNotAllowed,
      TooLarge, UnsupportedMediaType, InvalidInput
  - Unavailable              the server, for now
    - Overloaded, Draining, DeadlineExceeded
  - ModelError               the model raised on input that its signature allows

An error has a message (what is wrong) and a fix (the command or key that mends it). Where it shows, at the edge,
`EDGE` gives its HTTP status, gRPC status and exit code: that table is the only place where those numbers stand.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "EDGE",
    "ArtefactError",
    "Contested",
    "CorruptBlob",
    "DangerousPickle",
    "DeadlineExceeded",
    "DiskFull",
    "Draining",
    "Edge",
    "GoldenMismatch",
    "Interrupted",
    "InvalidInput",
    "MachineError",
    "MalformedBody",
    "MethodNotAllowed",
    "MissingDependency",
    "MissingSymbol",
    "ModelError",
    "NotAModel",
    "NotAStore",
    "NotAllowed",
    "NotCompilable",
    "Overloaded",
    "PortInUse",
    "ReleaseFailed",
    "RemoteError",
    "RequestError",
    "SampleMismatch",
    "ShipwayError",
    "StoreError",
    "TargetError",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "UnknownBundle",
    "UnknownModel",
    "UnknownRelease",
    "UnknownRoute",
    "UnsupportedMediaType",
    "UsageError",
    "VersionMismatch",
    "edge",
    "edge_of",
]


class ShipwayError(Exception):
    """Root of all errors that Shipway raises on purpose.

    Attributes:
        message: what is wrong, one sentence without a full stop.
        fix: the command or key that mends it; empty where nothing does.
    """

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}; {self.fix}" if self.fix else self.message


class UsageError(ShipwayError):
    """The command, call or setting is misused."""


class ArtefactError(ShipwayError):
    """What the user brought is not what it should be."""


class NotAModel(ArtefactError):
    """No adapter knows the artefact, or it is cut short."""


class DangerousPickle(ArtefactError):
    """Opening the pickle would call something that no model needs."""


class MissingSymbol(ArtefactError):
    """A pickle needs a module or name that cannot be imported here."""


class VersionMismatch(ArtefactError):
    """Made with another version of its framework or Python."""


class SampleMismatch(ArtefactError):
    """The sample's columns do not fit the model."""


class GoldenMismatch(ArtefactError):
    """The model does not give the answers that it gave when it was packed."""


class NotCompilable(ArtefactError):
    """The model has no compiled form that agrees with it; the message is the reason."""


class StoreError(ShipwayError):
    """The store, or something in it."""


class NotAStore(StoreError):
    """The folder is not an OCI image layout."""


class UnknownBundle(StoreError):
    """No bundle of that name, version, alias or digest."""


class CorruptBlob(StoreError):
    """Bytes do not have the digest or size that they are named by."""


class MachineError(ShipwayError):
    """This machine lacks something."""


class MissingDependency(MachineError):
    """A package or program that this step needs is not installed."""


class PortInUse(MachineError):
    """Another process listens on the port."""


class DiskFull(MachineError):
    """No space is left where the store, the image or the output should go."""


class RemoteError(ShipwayError):
    """A registry or server that was asked did not answer as it should."""


class TargetError(ShipwayError):
    """The place where a release runs refuses, cannot be asked, or does not come to what it was asked for."""


class UnknownRelease(TargetError):
    """The target has no release of that name or number, or no canary."""


class NotAllowed(TargetError):
    """The account may not do that on the target."""


class Contested(TargetError):
    """Somebody else has changed, or is changing, the same thing."""


class ReleaseFailed(TargetError):
    """A release did not become healthy; the message is its cause, and says what serves now."""


class Interrupted(TargetError):
    """The user broke off in the middle; the message says what state was left, the fix how to go on."""


class RequestError(ShipwayError):
    """The caller of the API sent something that cannot be answered."""


class MalformedBody(RequestError):
    """The body is not what its content type says, or not the shape that the protocol has."""


class Unauthorized(RequestError):
    """No API key, or not a valid one."""


class UnknownModel(RequestError):
    """No such model, version or method is served."""


class UnknownRoute(RequestError):
    """No such path."""


class MethodNotAllowed(RequestError):
    """The path does not take that HTTP method."""

    def __init__(self, message: str, *, allow: tuple[str, ...], fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.allow = allow


class TooLarge(RequestError):
    """Body, rows or nesting over the limit."""


class UnsupportedMediaType(RequestError):
    """A content type or encoding that the path does not read."""


class InvalidInput(RequestError):
    """The rows do not fit the model's signature.

    Attributes:
        column: the column's name, where one is to blame.
        row: the row's number from 0, where one is to blame.
    """

    def __init__(self, message: str, *, column: str | None = None, row: int | None = None, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.column = column
        self.row = row


class Unavailable(ShipwayError):
    """The server cannot answer now.

    Attributes:
        retry_after: seconds after which asking again makes sense.
    """

    def __init__(self, message: str, *, retry_after: int = 1, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.retry_after = retry_after


class Overloaded(Unavailable):
    """More requests wait than the limit allows."""


class Draining(Unavailable):
    """The server is starting or ending."""


class DeadlineExceeded(Unavailable):
    """The answer did not come within the caller's or the server's time limit."""


class ModelError(ShipwayError):
    """The model raised on input that its signature allows."""


class Edge(NamedTuple):
    """How an error shows at each edge."""

    http: int
    grpc: str
    exit: int


EDGE: dict[type[ShipwayError], Edge] = {
    ShipwayError: Edge(500, "INTERNAL", 1),
    UsageError: Edge(400, "INVALID_ARGUMENT", 2),
    RequestError: Edge(400, "INVALID_ARGUMENT", 1),
    Unauthorized: Edge(401, "UNAUTHENTICATED", 1),
    UnknownModel: Edge(404, "NOT_FOUND", 1),
    UnknownRoute: Edge(404, "UNIMPLEMENTED", 1),
    MethodNotAllowed: Edge(405, "UNIMPLEMENTED", 1),
    TooLarge: Edge(413, "RESOURCE_EXHAUSTED", 1),
    UnsupportedMediaType: Edge(415, "INVALID_ARGUMENT", 1),
    InvalidInput: Edge(422, "INVALID_ARGUMENT", 1),
    Unavailable: Edge(503, "UNAVAILABLE", 1),
    Overloaded: Edge(429, "RESOURCE_EXHAUSTED", 1),
    Interrupted: Edge(500, "CANCELLED", 130),
    DeadlineExceeded: Edge(503, "DEADLINE_EXCEEDED", 1),
}


def edge(error: ShipwayError) -> Edge:
    """Gives how `error` shows at the edges."""
    return edge_of(type(error))


def edge_of(kind: type[ShipwayError]) -> Edge:
    """Gives how errors of a class show at the edges: the entry of its nearest class in `EDGE`."""
    return next(EDGE[cls] for cls in kind.__mro__ if cls in EDGE)
