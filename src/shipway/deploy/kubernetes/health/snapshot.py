"""What a cluster shows of one Deployment at one moment, and the few views of it that a diagnosis needs.

Nothing is taken for granted of an answer: what is missing or of another shape reads as empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shipway.deploy.kubernetes.api.kinds import Object
from shipway.deploy.kubernetes.objects.labels import BUNDLE_ANNOTATION

__all__ = [
    "Look",
    "Snapshot",
    "condition",
    "is_deleted",
    "is_observed",
    "is_ready",
    "newest_of",
    "number",
    "owned_by",
    "part",
    "parts",
    "text",
    "uid",
]

_REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a Deployment. Whatever may not be read is left empty; the diagnosis then says less.

    Attributes:
        now: when it was taken, with a time zone.
        deployment: the Deployment.
        replica_sets: its ReplicaSets; others are passed over.
        pods: its pods; those of older templates and others are passed over.
        events: of the namespace, core/v1 `Event`, in any order; others are passed over.
        logs: by the pod's name, the last lines that its crashed server wrote.
        nodes: of the cluster; needs a right on the whole cluster, which most accounts lack.
        namespace: the Namespace.
    """

    now: datetime
    deployment: Object
    replica_sets: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    events: Sequence[Object] = ()
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    nodes: Sequence[Object] = ()
    namespace: Object = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the Deployment."""
        return text(self.deployment, "metadata", "name")

    @property
    def bundle(self) -> str:
        """What the Deployment runs, as `shipway deploy` takes it: `name:version`."""
        return text(self.deployment, "metadata", "annotations", BUNDLE_ANNOTATION).partition("@")[0] or self.name

    @property
    def again(self) -> str:
        """The beginning of the command that releases it again; `…` stands for the options that it was given before."""
        return f"shipway deploy {self.bundle} …"

    @property
    def kubectl(self) -> str:
        """The beginning of a command about objects of the Deployment's namespace."""
        namespace = text(self.deployment, "metadata", "namespace")
        return f"kubectl -n {namespace}" if namespace else "kubectl"

    @property
    def is_observed(self) -> bool:
        """Whether the cluster has seen the newest template; before that, all else is about the one before."""
        return is_observed(self.deployment)

    @property
    def newest(self) -> Object:
        """The ReplicaSet of the newest template; empty before it is made."""
        return newest_of(self.deployment, self.replica_sets) or {}

    @property
    def pods_of_newest(self) -> Sequence[Object]:
        """The pods of the newest template that are not being deleted, oldest first."""
        pods = [pod for pod in owned_by(self.pods, [self.newest]) if not is_deleted(pod)]
        return sorted(pods, key=lambda pod: text(pod, "metadata", "creationTimestamp"))

    @property
    def is_healthy(self) -> bool:
        """Whether as many pods of the newest template are ready as are wanted."""
        ready = sum(is_ready(pod) for pod in self.pods_of_newest)
        return ready >= int(number(self.deployment, "spec", "replicas", default=1))

    def looks(self) -> Sequence[Look]:
        """Gives each pod of the newest template that should be ready and is not, oldest first."""
        return [Look(self, pod) for pod in self.pods_of_newest if not is_ready(pod)]

    def since(self, when: str) -> float:
        """Gives the seconds from a time of the API to the snapshot; 0 where there is no time."""
        return max(0.0, (self.now - _moment(when)).total_seconds()) if when else 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """One pod that is not ready, with what else the snapshot tells of it.

    Attributes:
        snapshot: of which the pod is part.
        pod: the Pod.
    """

    snapshot: Snapshot
    pod: Object

    @property
    def name(self) -> str:
        """Of the pod."""
        return text(self.pod, "metadata", "name")

    @property
    def container(self) -> Object:
        """The server's container, as the template has it."""
        containers = parts(self.pod, "spec", "containers") or [{}]
        return next((each for each in containers if each.get("name") == "server"), containers[0])

    @property
    def image(self) -> str:
        """Which image the server's container runs."""
        return text(self.container, "image")

    @property
    def server(self) -> Object:
        """The status of the server's container; empty before a node has looked at the pod."""
        statuses = parts(self.pod, "status", "containerStatuses")
        return next((each for each in statuses if each.get("name") == self.container.get("name")), {})

    @property
    def restarts(self) -> float:
        """How often the server's container was started again."""
        return number(self.server, "restartCount")

    @property
    def waiting(self) -> Object:
        """`reason` and `message` for which the server's container waits; empty where it does not."""
        return part(self.server, "state", "waiting")

    @property
    def ended(self) -> Object:
        """How the server's container ended, now or the last time; empty where it never did."""
        return part(self.server, "state", "terminated") or part(self.server, "lastState", "terminated")

    @property
    def is_crashing(self) -> bool:
        """Whether it ended at least twice, or the node already waits before it starts it again."""
        return self.waiting.get("reason") == "CrashLoopBackOff" or self.restarts >= (
            2 if part(self.server, "state", "running") else 1
        )

    @property
    def log(self) -> Sequence[str]:
        """The last lines of the crashed server, without empty ones."""
        return [line.strip() for line in self.snapshot.logs.get(self.name, ()) if line.strip()]

    @property
    def last_words(self) -> Sequence[str]:
        """The last three lines of the crashed server: in them stands why it ended, and little else."""
        return self.log[-3:]

    @property
    def age(self) -> float:
        """Seconds since the pod was made."""
        return self.snapshot.since(text(self.pod, "metadata", "creationTimestamp"))

    def events(self, *reasons: str) -> Sequence[Object]:
        """Gives the pod's events of these reasons, newest first."""
        own = uid(self.pod)
        mine = (each for each in self.snapshot.events if text(each, "involvedObject", "uid") == own != "")
        return sorted((each for each in mine if each.get("reason") in reasons), key=_last_seen, reverse=True)

    def said(self, *reasons: str) -> Iterator[str]:
        """Gives the messages of the pod's events of these reasons, newest first."""
        return (text(event, "message") for event in self.events(*reasons))


def part(thing: object, *path: str) -> Object:
    """Gives the object at a path; empty where there is none."""
    found = _at(thing, path)
    return found if isinstance(found, dict) else {}


def parts(thing: object, *path: str) -> Sequence[Object]:
    """Gives the objects of the list at a path; none where there is no list."""
    found = _at(thing, path)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def text(thing: object, *path: str) -> str:
    """Gives the text at a path; empty where there is none."""
    found = _at(thing, path)
    return found if isinstance(found, str) else ""


def number(thing: object, *path: str, default: float = 0) -> float:
    """Gives the number at a path; `default` where there is none."""
    found = _at(thing, path)
    return found if isinstance(found, int | float) else default


def condition(thing: Object, kind: str) -> Object:
    """Gives the condition of that type from an object's status; empty without one."""
    return next((each for each in parts(thing, "status", "conditions") if each.get("type") == kind), {})


def is_observed(deployment: Object) -> bool:
    """Whether the controller has seen a Deployment's newest template."""
    seen = number(deployment, "status", "observedGeneration")
    return seen >= number(deployment, "metadata", "generation")


def newest_of(deployment: Object, replica_sets: Iterable[Object]) -> Object | None:
    """Gives the ReplicaSet of the newest template, which bears the Deployment's revision; None before it is made."""
    if not is_observed(deployment):
        return None
    revision = _revision(deployment)
    mine = owned_by(replica_sets, [deployment])
    return next((each for each in mine if _revision(each) == revision), None)


def owned_by(things: Iterable[Object], owners: Iterable[Object]) -> list[Object]:
    """Gives those things that one of the owners controls."""
    uids = {uid(owner) for owner in owners} - {""}
    return [thing for thing in things if _owner(thing) in uids]


def _at(thing: object, path: Sequence[str]) -> object:
    for key in path:
        thing = thing.get(key) if isinstance(thing, dict) else None
    return thing


def _moment(when: str) -> datetime:
    try:
        return datetime.fromisoformat(when).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.max.replace(tzinfo=UTC)


def _last_seen(event: Object) -> str:
    """Times of the API sort as texts."""
    series = text(event, "series", "lastObservedTime")
    return series or text(event, "lastTimestamp") or text(event, "eventTime") or text(event, "firstTimestamp")


def uid(thing: Object) -> str:
    """Gives an object's uid; empty where it has none."""
    return text(thing, "metadata", "uid")


def _owner(thing: Object) -> str:
    owners = parts(thing, "metadata", "ownerReferences")
    return next((text(owner, "uid") for owner in owners if owner.get("controller")), "")


def _revision(thing: Object) -> str:
    return text(thing, "metadata", "annotations", _REVISION)


def is_deleted(thing: Object) -> bool:
    """Whether an object is on its way out."""
    return bool(text(thing, "metadata", "deletionTimestamp"))


def is_ready(pod: Object) -> bool:
    """Whether a pod says that it is ready."""
    return condition(pod, "Ready").get("status") == "True"
