"""A cluster, through the plain HTTP API of Kubernetes: objects, watches, logs, and what one may do.

No Kubernetes library: docs/decisions/0014 says why. Sources: the API reference of Kubernetes 1.36 and "API Concepts"
(lists in pages, watches, server-side apply, dry run, field validation).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, get_args
from urllib.parse import quote

import msgspec

from shipway.deploy.kubernetes.api.connection import Connection
from shipway.deploy.kubernetes.api.kinds import KINDS, Kind, Object, kind_of
from shipway.deploy.kubernetes.api.refusals import (
    AlreadyThere,
    Asked,
    Expired,
    FieldConflict,
    Gone,
    read_refusal,
    refuse,
)
from shipway.errors import NotAllowed, TargetError

if TYPE_CHECKING:
    import httpx

    from shipway.deploy.kubernetes.api.access import Access

__all__ = [
    "FIELD_MANAGER",
    "AlreadyThere",
    "Cluster",
    "Event",
    "EventType",
    "Expired",
    "FieldConflict",
    "Gone",
    "Listing",
]

FIELD_MANAGER = "shipway"
"""By this name the cluster knows which fields are ours."""

EventType = Literal["ADDED", "MODIFIED", "DELETED"]

_PAGE = 250
_MOST_PAGES = 400
_RESTARTS = 3
_LONGEST_EVENT = 16 << 20
_LONGEST_LOG_LINE = 64 << 10
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects as they were at one moment.

    Attributes:
        items: each with its `apiVersion` and `kind`.
        version: of the collection, from which a watch can go on.
    """

    items: tuple[Object, ...]
    version: str


class Event(NamedTuple):
    """What happened to an object."""

    type: EventType
    object: Object


class Cluster:
    """One namespace of one cluster. Safe to use from threads; `close` ends what runs in them.

    All methods raise `NotAllowed` where a right is missing, `UsageError` for what the cluster calls invalid,
    `Gone` where a namespace or object is not there, and `TargetError` where the cluster cannot be asked.

    Args:
        access: which cluster, which namespace.
        client: carries the requests, credentials included.
        warn: told each of the cluster's warnings once.
        sleep: waits for some seconds before an attempt is repeated; None for a way that `close` ends.

    Attributes:
        namespace: in which everything happens.
        context: of kubeconfig.
    """

    def __init__(
        self,
        access: Access,
        client: httpx.Client,
        *,
        warn: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.namespace = access.namespace
        self.context = access.context
        self._connection = Connection(access, client, warn, sleep)

    @classmethod
    def open(cls, access: Access, *, warn: Callable[[str], None] = lambda _: None) -> Self:
        """Prepares access to a cluster; nothing is asked of it yet.

        Raises:
            UsageError: a certificate, key or token file of kubeconfig cannot be read.
        """
        from shipway.deploy.kubernetes.api.session import open_client

        return cls(access, open_client(access), warn=warn)

    @contextmanager
    def branch(self) -> Iterator[Cluster]:
        """Gives the same cluster for a block, at whose end all streams end that were begun on it."""
        branch = copy.copy(self)
        branch._connection = self._connection.branch()
        try:
            yield branch
        finally:
            branch._connection.end()

    def close(self) -> None:
        """Ends all streams, also those that other threads wait for, and the connections."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get(self, kind: Kind, name: str) -> Object | None:
        """Gives an object; None where it, or its kind, is not there."""
        try:
            return self._ask("GET", self._asked("get", kind, name))
        except Gone:
            return None

    def list(self, kind: Kind, labels: Mapping[str, str] = {}, fields: str = "") -> Listing:
        """Gives all objects with these labels; none where the cluster lacks the kind.

        Args:
            kind: of the objects.
            labels: that they bear.
            fields: a field selector, `involvedObject.name=diabetes`.
        """
        for attempt in range(_RESTARTS):
            try:
                return self._list(self._asked("list", kind), _selectors(labels, fields))
            except Gone:
                return Listing((), "")
            except Expired:  # what was listed so far is of a moment that the cluster has forgotten
                if attempt == _RESTARTS - 1:
                    raise
        raise AssertionError("unreachable")

    def watch(
        self, kind: Kind, labels: Mapping[str, str], version: str, seconds: float, fields: str = ""
    ) -> Iterator[Event]:
        """Gives what happens to objects from `version` on, for so many seconds. A cut connection is taken up again.

        Raises:
            Expired: the cluster no longer keeps that version: list, and watch from there.
        """
        asked = self._asked("watch", kind)
        deadline = time.monotonic() + seconds
        query = {**_selectors(labels, fields), "watch": "true", "allowWatchBookmarks": "true"}
        while (left := deadline - time.monotonic()) > 0 and not self._connection.closed:
            query |= {"resourceVersion": version, "timeoutSeconds": str(math.ceil(left))}
            path = kind.path(self.namespace)
            for line in self._connection.lines(path, query, asked, longest=_LONGEST_EVENT, deadline=deadline):
                type_, document = _event(line, asked)
                version = _version(document) or version
                if type_ in get_args(EventType):
                    yield Event(type_, document)  # type: ignore[arg-type]
            self._connection.pause(deadline)

    def apply(
        self, document: Mapping[str, Any], *, manager: str = FIELD_MANAGER, force: bool = False, dry_run: bool = False
    ) -> Object:
        """Makes an object as it says, or changes the one that is there, by server-side apply.

        Args:
            document: all that we want of it; what we applied before and leave out now is removed.
            manager: whose fields these are.
            force: take over fields that others own.
            dry_run: only say what it would become.

        Raises:
            Contested: fields belong to others; with their names.
        """
        kind, name = kind_of(document), str(document["metadata"]["name"])
        query = {"fieldManager": manager, "fieldValidation": "Strict", **_dry(dry_run)}
        if force:
            query["force"] = "true"
        try:
            return self._ask("PATCH", self._asked("patch", kind, name), query, document, _APPLY)
        except FieldConflict as conflict:
            # What we wrote by other ways, such as the scale subresource, the cluster keeps as if it were another's.
            if force or conflict.owners != {manager}:
                raise
            return self.apply(document, manager=manager, force=True, dry_run=dry_run)

    def create(self, document: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Makes an object that must not be there yet.

        Raises:
            AlreadyThere: it is.
        """
        asked = self._asked("create", kind_of(document), str(document["metadata"]["name"]))
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", **_dry(dry_run)}
        return self._ask("POST", asked, query, document)

    def merge(self, kind: Kind, name: str, patch: Mapping[str, Any]) -> Object:
        """Changes parts of an object by a merge patch, in which null removes.

        Raises:
            Contested: `metadata.resourceVersion` in the patch is no longer the object's.
        """
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        return self._ask("PATCH", self._asked("patch", kind, name), query, patch, _MERGE)

    def scale(self, kind: Kind, name: str, replicas: int) -> None:
        """Sets how many pods an object keeps, through its scale subresource."""
        query = {"fieldManager": FIELD_MANAGER}
        self._ask("PATCH", self._asked("patch", kind, name, "scale"), query, {"spec": {"replicas": replicas}}, _MERGE)

    def delete(self, kind: Kind, name: str, *, uid: str = "") -> bool:
        """Deletes an object, and in the background what it owns.

        Args:
            kind: of the object.
            name: of the object.
            uid: delete it only where it is still this very one.

        Returns:
            Whether it was there.

        Raises:
            Contested: another one has that name now.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self._ask("DELETE", self._asked("delete", kind, name), {}, options)
        except Gone:
            return False
        return True

    def logs(
        self,
        pod: str,
        *,
        container: str = "server",
        follow: bool = False,
        tail: int = 10,
        previous: bool = False,
        timestamps: bool = True,
    ) -> Iterator[str]:
        """Gives the last lines that a container wrote; with `follow`, also those to come, until it ends.

        Args:
            pod: its name.
            container: in the pod.
            follow: go on.
            tail: how many lines of the past.
            previous: of the container before its last restart.
            timestamps: each line begins with its time in RFC 3339 and a space.

        Raises:
            TargetError: the container has not started yet, or has no previous one.
        """
        query = {"container": container, "tailLines": str(tail), "timestamps": _flag(timestamps)}
        query |= {"follow": _flag(follow), "previous": _flag(previous)}
        asked = self._asked("get", KINDS["Pod"], pod, "log")
        path = KINDS["Pod"].path(self.namespace, pod, "log")
        for line in self._connection.lines(path, query, asked, longest=_LONGEST_LOG_LINE, cut=True):
            yield line.decode("utf-8", "replace")

    def proxy(self, pod: str, port: int, path: str) -> bytes:
        """Gives what a pod answers to a GET, carried by the cluster.

        Args:
            pod: its name.
            port: on which it listens.
            path: with its query, `/metrics`.

        Raises:
            TargetError: it does not answer, or not with a success.
        """
        asked = self._asked("get", KINDS["Pod"], pod, "proxy")
        where = f"{KINDS['Pod'].path(self.namespace)}/{quote(pod, safe='')}:{port}/proxy/{path.lstrip('/')}"
        # What the pod answers is passed on as it is: waiting and asking again is the caller's to decide.
        return self._connection.send("GET", where, asked, attempts=1)

    def allows(self, verb: str, kind: Kind, subresource: str = "") -> bool:
        """Whether the account may do that in the namespace; True where the cluster does not say."""
        attributes = {"verb": verb, "group": kind.group, "resource": kind.plural, "subresource": subresource}
        if kind.namespaced:
            attributes["namespace"] = self.namespace
        spec = {"resourceAttributes": attributes}
        review = self._review("authorization.k8s.io/v1", "SelfSubjectAccessReview", spec=spec)
        return review is None or _part(review, "status").get("allowed") is True

    def who(self) -> str:
        """Gives the account's name as the cluster knows it; empty where it does not say (before 1.28)."""
        review = self._review("authentication.k8s.io/v1", "SelfSubjectReview")
        return str(_part(_part(review or {}, "status"), "userInfo").get("username") or "")

    def serves(self, api: str) -> bool:
        """Whether the cluster answers for an API, `metrics.k8s.io/v1beta1`; True where it may not be asked."""
        try:
            self._connection.send("GET", f"/apis/{api}", self._asked("get", None, api), attempts=1)
        except NotAllowed:
            return True
        except TargetError:  # it is not known, or whoever should answer for it does not run
            return False
        return True

    def version(self) -> tuple[int, int]:
        """Gives the cluster's version: (1, 36).

        Raises:
            TargetError: what answers is no cluster.
        """
        asked = self._asked("get", None, "version")
        answer = _read(self._connection.send("GET", "/version", asked), asked)
        try:
            return int(str(answer["major"]).rstrip("+")), int(str(answer["minor"]).rstrip("+"))
        except (KeyError, ValueError) as error:
            raise TargetError(f"what answers for context {self.context} does not say which version it is") from error

    def _asked(self, verb: str, kind: Kind | None, name: str = "", subresource: str = "") -> Asked:
        return Asked(verb, kind, name, self.namespace, self.context, subresource)

    def _ask(
        self,
        method: str,
        asked: Asked,
        query: Mapping[str, str] = {},
        document: Mapping[str, Any] | None = None,
        content_type: str = _JSON,
    ) -> Object:
        assert asked.kind is not None
        named = "" if method == "POST" else asked.name
        path = asked.kind.path(self.namespace, named, asked.subresource)
        content = None if document is None else msgspec.json.encode(document)
        # Making an object is the one thing that cannot be repeated when it is not known whether it was done.
        answer = self._connection.send(
            method, path, asked, query=query, content=content, content_type=content_type, safe=method != "POST"
        )
        return _read(answer, asked)

    def _list(self, asked: Asked, query: Mapping[str, str]) -> Listing:
        assert asked.kind is not None
        kind, items, page = asked.kind, list[Object](), {"limit": str(_PAGE)}
        for _ in range(_MOST_PAGES):
            answer = self._ask("GET", asked, {**query, **page})
            found = answer.get("items")
            # The items of a list do not say what they are: the list does.
            items += [
                {"apiVersion": kind.api, "kind": kind.kind, **item}
                for item in (found if isinstance(found, list) else [])
                if isinstance(item, dict)
            ]
            more = str(_part(answer, "metadata").get("continue") or "")
            if not more:
                return Listing(tuple(items), _version(answer))
            page["continue"] = more
        raise TargetError(f"{asked.place} has more than {_PAGE * _MOST_PAGES} {kind.plural}")

    def _review(self, api: str, kind: str, **parts: Any) -> Object | None:
        """Asks the cluster about the account itself; None where it does not tell."""
        review = Kind(kind, api, kind.lower() + "s", namespaced=False)
        document = {"apiVersion": api, "kind": kind, **parts}
        try:
            return self._ask("POST", self._asked("create", review), {}, document)
        except (Gone, NotAllowed):
            return None


def _selectors(labels: Mapping[str, str], fields: str) -> dict[str, str]:
    selectors = {
        "labelSelector": ",".join(f"{key}={value}" for key, value in labels.items()),
        "fieldSelector": fields,
    }
    return {name: value for name, value in selectors.items() if value}


def _event(line: bytes, asked: Asked) -> tuple[str, Object]:
    """Reads a line of a watch.

    Raises:
        Expired, TargetError: the event is an error.
    """
    event = _read(line, asked)
    document = _part(event, "object")
    if event.get("type") == "ERROR":
        raise refuse(read_refusal(500, msgspec.json.encode(document)), asked)
    return str(event.get("type")), document


def _read(answer: bytes, asked: Asked) -> Object:
    try:
        document = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise TargetError(
            f"{asked.right}: what answers for context {asked.context} is not the API of a cluster",
            fix=f"`kubectl --context {asked.context} cluster-info` shows what is asked",
        )
    return document


def _part(document: Mapping[str, Any], name: str) -> Object:
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _version(document: Mapping[str, Any]) -> str:
    return str(_part(document, "metadata").get("resourceVersion") or "")


def _dry(dry_run: bool) -> Mapping[str, str]:
    return {"dryRun": "All"} if dry_run else {}


def _flag(value: bool) -> str:
    return "true" if value else "false"
