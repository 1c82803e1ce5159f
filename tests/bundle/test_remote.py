"""Bundles in a registry: what comes back is what went there, nothing travels twice, and nothing is believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from fakes.folders import write_folder
from fakes.images import add_image, build_image, make_bundle
from fakes.registry import HOST, REPOSITORY, FakeRegistry
from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import read_folder
from shipway.bundle.remote import Found, look, pull_bundle, push_bundle
from shipway.bundle.store import Store
from shipway.errors import CorruptBlob, RemoteError, UnknownBundle, UsageError
from shipway.image.build import Image
from shipway.image.output import put_images
from shipway.oci.descriptor import EMPTY_CONFIG, INDEX, MANIFEST, Descriptor, Index, OciManifest
from shipway.oci.layout import Layout
from shipway.oci.registry import Registry
from shipway.spec.image import ImageConfig, ImageReference, Platform
from shipway.spec.reference import NameReference

ARM64 = Platform("arm64", "linux")
DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def fake(tmp_path: Path) -> FakeRegistry:
    return FakeRegistry(Layout.create(tmp_path / "registry"), {})


@pytest.fixture
def registry(fake: FakeRegistry) -> Registry:
    return Registry(HOST, fake.client())


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "origin")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "store")


@pytest.fixture
def image(tmp_path: Path, bundle: Bundle) -> Image:
    return build_image(tmp_path / "build", bundle)


def tagged(tag: str) -> ImageReference:
    return ImageReference(REPOSITORY, HOST, tag)


def publish(fake: FakeRegistry, tag: str, *images: Image) -> Descriptor:
    """Lets the registry have images, as a push leaves them."""
    top = put_images(images, fake.layout)
    return publish_all(fake, tag, top)


def publish_all(fake: FakeRegistry, tag: str, top: Descriptor) -> Descriptor:
    fake.tags[tag] = top
    fake.blobs[REPOSITORY] = {f"sha256:{path.name}" for path in (fake.layout.path / "blobs" / "sha256").iterdir()}
    return top


def publish_manifest(fake: FakeRegistry, tag: str, manifest: OciManifest) -> Descriptor:
    fake.layout.put_bytes(b"{}")
    data = manifest.to_json()
    return publish_all(fake, tag, Descriptor(MANIFEST, *fake.layout.put_bytes(data)))


def fetched(fake: FakeRegistry) -> list[str]:
    """Gives the digests of the blobs that somebody fetched, in order."""
    return [request.url.path.rpartition("/")[2] for request in fake.calls("GET", "/blobs/")]


def test_a_bundle_comes_back_with_the_same_digest_and_bytes(
    fake: FakeRegistry, registry: Registry, bundle: Bundle, store: Store, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    pushed = push_bundle(registry, tagged("3"), bundle, Store.at(tmp_path / "origin"))
    assert pushed.descriptor.digest == bundle.id.digest == fake.tags["3"].digest
    pulled = pull_bundle(registry, tagged("3"), store, tell=lambda done, total: told.append((done, total)))
    assert (pulled.bundle.id.name, pulled.bundle.id.version, pulled.bundle.id.digest) == ("model", 1, bundle.id.digest)
    assert (pulled.new, pulled.fetched, pulled.bundle.origin) == (True, True, "foreign")
    assert pulled.bundle.notes == {"pulled": f"{HOST}/{REPOSITORY}@{bundle.id.digest}"}
    assert pulled.bundle.oci_manifest == bundle.oci_manifest
    assert store.check() == ()
    assert told[-1][0] == told[-1][1]


def test_what_the_registry_has_is_not_sent_again_and_what_the_store_has_is_not_fetched_again(
    fake: FakeRegistry, registry: Registry, bundle: Bundle, store: Store, tmp_path: Path
) -> None:
    origin = Store.at(tmp_path / "origin")
    push_bundle(registry, tagged("1"), bundle, origin)
    received = fake.received
    assert push_bundle(registry, tagged("2"), bundle, origin).sent_bytes == len(bundle.oci_manifest)
    assert fake.received == received
    pull_bundle(registry, tagged("1"), store)
    before = fetched(fake)
    again = pull_bundle(registry, ImageReference(REPOSITORY, HOST, "", bundle.id.digest), store)
    renamed = pull_bundle(registry, tagged("2"), store, name="other")
    assert (again.new, again.fetched, renamed.new, renamed.fetched) == (False, False, True, False)
    assert str(renamed.bundle.id).startswith("other:1@")
    assert fetched(fake) == before


def test_a_bundle_in_a_folder_is_pushed_too(
    fake: FakeRegistry, registry: Registry, bundle: Bundle, store: Store, tmp_path: Path
) -> None:
    folder = read_folder(write_folder(bundle, tmp_path / "folder"))
    assert push_bundle(registry, tagged("1"), folder, store).descriptor.digest == bundle.id.digest
    assert fake.layout.read(bundle.id.digest) == bundle.oci_manifest


def test_a_bundle_with_too_many_files_for_a_registry_is_refused_before_anything_is_asked(
    fake: FakeRegistry, registry: Registry, bundle: Bundle, store: Store
) -> None:
    large = replace(bundle, oci_manifest=bytes((4 << 20) + 1))
    with pytest.raises(UsageError, match="too many files"):
        push_bundle(registry, tagged("1"), large, store)
    assert fake.seen == []


def test_of_an_image_only_the_configuration_and_the_bundles_layer_are_fetched(
    fake: FakeRegistry, registry: Registry, image: Image, bundle: Bundle, store: Store
) -> None:
    publish(fake, "1", image)
    pulled = pull_bundle(registry, tagged("1"), store)
    assert pulled.bundle.id == bundle.id
    assert pulled.bundle.notes["packed-as"] == "tiny:1"
    assert fetched(fake) == [image.image_id, image.layers[-1].descriptor.digest]
    again = pull_bundle(registry, tagged("1"), store)
    assert (again.new, again.fetched, again.bundle.id) == (False, False, bundle.id)
    assert image.layers[-1].descriptor.digest not in fetched(fake)[2:]


def test_an_image_and_a_bundle_of_the_same_content_are_one_version(
    fake: FakeRegistry, registry: Registry, image: Image, bundle: Bundle, store: Store, tmp_path: Path
) -> None:
    publish(fake, "image", image)
    push_bundle(registry, tagged("bundle"), bundle, Store.at(tmp_path / "origin"))
    first = pull_bundle(registry, tagged("image"), store)
    second = pull_bundle(registry, tagged("bundle"), store, name="tiny")
    assert (second.new, second.fetched, second.bundle.id) == (False, False, first.bundle.id)


def test_an_image_that_docker_wrote_anew_still_gives_its_bundle(
    fake: FakeRegistry, registry: Registry, image: Image, bundle: Bundle, store: Store
) -> None:
    publish(fake, "mine", image)
    manifest = OciManifest.from_json(image.manifest)
    plain = tuple(msgspec.structs.replace(layer, annotations={}) for layer in manifest.layers)
    publish_manifest(fake, "1", msgspec.structs.replace(manifest, layers=plain, annotations={}))
    assert pull_bundle(registry, tagged("1"), store).bundle.id == bundle.id
    assert fetched(fake)[1:] == [image.layers[-1].descriptor.digest]


def test_any_image_of_an_index_gives_the_bundle_and_attestations_are_passed_over(
    fake: FakeRegistry, registry: Registry, bundle: Bundle, store: Store, tmp_path: Path
) -> None:
    images = [build_image(tmp_path / "build", bundle, platform) for platform in (Platform("amd64", "linux"), ARM64)]
    top = publish(fake, "both", *images)
    index = Index.from_json(fake.layout.read(top.digest))
    attested = publish_manifest(fake, "x", OciManifest(EMPTY_CONFIG, (EMPTY_CONFIG,)))
    marks = {"vnd.docker.reference.type": "attestation-manifest"}
    note = msgspec.structs.replace(attested, annotations=marks, platform=Platform("unknown", "unknown"))
    data = msgspec.structs.replace(index, manifests=(note, *index.manifests)).to_json()
    publish_all(fake, "1", Descriptor(INDEX, *fake.layout.put_bytes(data)))
    found = look(registry, REPOSITORY, "1")
    assert (found.kind, found.bundle, found.platforms) == ("image", bundle.id, ("linux/amd64", "linux/arm64"))
    assert found.descriptor == fake.tags["1"]
    assert pull_bundle(registry, tagged("1"), store).bundle.id == bundle.id


def test_an_image_that_is_not_ours_is_told_so(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    publish_all(fake, "1", replace_annotations(add_image(fake.layout, [{"etc/x": b""}])))
    with pytest.raises(UnknownBundle, match="Shipway did not build"):
        pull_bundle(registry, tagged("1"), store)


def replace_annotations(entry: Descriptor) -> Descriptor:
    return msgspec.structs.replace(entry, annotations={}, platform=None)


@pytest.mark.parametrize(
    ("artifact_type", "config_type", "said"),
    [
        ("application/vnd.example", EMPTY_CONFIG.media_type, "neither a bundle nor an image, but application/vnd.ex"),
        (None, "application/vnd.cncf.helm.config.v1+json", "but application/vnd.cncf.helm"),
    ],
)
def test_what_is_neither_bundle_nor_image_is_told_so(
    fake: FakeRegistry, registry: Registry, store: Store, artifact_type: str | None, config_type: str, said: str
) -> None:
    config = msgspec.structs.replace(EMPTY_CONFIG, media_type=config_type)
    publish_manifest(fake, "1", OciManifest(config, (EMPTY_CONFIG,), artifact_type=artifact_type))
    with pytest.raises(UnknownBundle, match=said):
        pull_bundle(registry, tagged("1"), store)


def test_an_index_without_an_image_is_told_so(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    publish_all(fake, "1", Descriptor(INDEX, *fake.layout.put_bytes(Index().to_json())))
    with pytest.raises(UnknownBundle, match="without an image"):
        pull_bundle(registry, tagged("1"), store)


@pytest.mark.parametrize("digest", ["2", "../../other/manifests/2", "sha256:../x"])
def test_an_index_whose_image_has_no_digest_is_refused_before_it_is_asked_for(
    fake: FakeRegistry, registry: Registry, store: Store, image: Image, digest: str
) -> None:
    publish(fake, "2", image)
    index = Index((Descriptor(MANIFEST, digest, 2),))
    publish_all(fake, "1", Descriptor(INDEX, *fake.layout.put_bytes(index.to_json())))
    with pytest.raises(CorruptBlob, match="no sha256 or sha512 digest"):
        pull_bundle(registry, tagged("1"), store)
    assert len(fake.seen) == 1


def relabelled(image: Image, fake: FakeRegistry, label: str) -> OciManifest:
    """Gives the image's manifest with another bundle in its labels."""
    publish(fake, "mine", image)
    config = ImageConfig.from_json(image.config)
    config = msgspec.structs.replace(config, config=config.config.with_labels({"io.shipway.bundle": label}))
    content = fake.layout.put_bytes(config.to_json())
    manifest = OciManifest.from_json(image.manifest)
    described = msgspec.structs.replace(manifest.config, digest=content.digest, size=content.size)
    return msgspec.structs.replace(manifest, config=described, annotations={})


@pytest.mark.parametrize("label", ["", "tiny", "tiny:1@sha256:12", f"../up:1@{DIGEST}", f"{'n' * 64}:1@{DIGEST}"])
def test_a_label_that_names_no_bundle_is_none(fake: FakeRegistry, registry: Registry, image: Image, label: str) -> None:
    publish_manifest(fake, "1", relabelled(image, fake, label))
    assert look(registry, REPOSITORY, "1").kind == "other"


def test_an_image_whose_layer_holds_another_bundle_than_its_label_says_is_refused(
    fake: FakeRegistry, registry: Registry, image: Image, bundle: Bundle, store: Store
) -> None:
    publish_manifest(fake, "1", relabelled(image, fake, f"tiny:2@{bundle.id.digest}"))
    with pytest.raises(CorruptBlob, match="the image names tiny:2"):
        pull_bundle(registry, tagged("1"), store)
    assert store.list() == ()


def test_an_image_without_the_layer_is_told_so(
    fake: FakeRegistry, registry: Registry, image: Image, store: Store
) -> None:
    publish(fake, "mine", image)
    manifest = OciManifest.from_json(image.manifest)
    publish_manifest(fake, "1", msgspec.structs.replace(manifest, layers=manifest.layers[:-1]))
    with pytest.raises(UnknownBundle, match="no layer of the image holds the bundle"):
        pull_bundle(registry, tagged("1"), store)


def test_manifests_that_disagree_are_refused_before_a_file_is_fetched(
    fake: FakeRegistry, registry: Registry, bundle: Bundle, store: Store, tmp_path: Path
) -> None:
    push_bundle(registry, tagged("mine"), bundle, Store.at(tmp_path / "origin"))
    manifest = OciManifest.from_json(bundle.oci_manifest)
    first, second = manifest.layers
    swapped = msgspec.structs.replace(first, digest=second.digest, size=second.size)
    for layers in ((swapped, second), (first,), (first, second, swapped)):
        publish_manifest(fake, "1", msgspec.structs.replace(manifest, layers=layers))
        with pytest.raises(CorruptBlob, match="manifests disagree"):
            pull_bundle(registry, tagged("1"), store)
    assert set(fetched(fake)) == {manifest.config.digest}
    assert store.list() == ()


def test_a_manifest_of_a_bundle_that_is_too_large_is_not_fetched(
    fake: FakeRegistry, registry: Registry, bundle: Bundle, store: Store, image: Image
) -> None:
    manifest = OciManifest.from_json(bundle.oci_manifest)
    config = msgspec.structs.replace(manifest.config, size=17 << 20)
    publish_manifest(fake, "1", msgspec.structs.replace(manifest, config=config))
    of_image = OciManifest.from_json(image.manifest)
    config = msgspec.structs.replace(of_image.config, size=17 << 20)
    publish_manifest(fake, "2", msgspec.structs.replace(of_image, config=config))
    for tag in ("1", "2"):
        with pytest.raises(CorruptBlob, match="17825792 bytes"):
            pull_bundle(registry, tagged(tag), store)
    assert fetched(fake) == []


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_bytes_that_are_changed_on_their_way_never_become_a_bundle(
    fake: FakeRegistry, registry: Registry, bundle: Bundle, store: Store, tmp_path: Path, part: str
) -> None:
    push_bundle(registry, tagged("1"), bundle, Store.at(tmp_path / "origin"))
    manifest = OciManifest.from_json(bundle.oci_manifest)
    digests = {"manifest": bundle.id.digest, "config": manifest.config.digest, "layer": manifest.layers[0].digest}
    changed = digests[part]
    fake.tamper = lambda path, body: body.replace(b"o", b"0") if path.endswith(changed) else body
    with pytest.raises((CorruptBlob, RemoteError)):
        pull_bundle(registry, ImageReference(REPOSITORY, HOST, "", bundle.id.digest), store)
    assert store.list() == ()


def test_a_name_that_no_model_can_have_is_refused_before_a_blob_is_fetched(
    fake: FakeRegistry, registry: Registry, bundle: Bundle, store: Store, tmp_path: Path
) -> None:
    push_bundle(registry, tagged("1"), bundle, Store.at(tmp_path / "origin"))
    with pytest.raises(UsageError, match="cannot be a model's name"):
        pull_bundle(registry, tagged("1"), store, name="No.Name")
    assert fetched(fake) == []


def test_what_was_pulled_is_the_owners_own_once_they_pack_it(
    registry: Registry, bundle: Bundle, store: Store, tmp_path: Path
) -> None:
    push_bundle(registry, tagged("1"), bundle, Store.at(tmp_path / "origin"))
    pulled = pull_bundle(registry, tagged("1"), store, name="tiny").bundle
    packed = store.add(bundle.manifest, bundle.files, "tiny", notes={}).bundle
    assert (pulled.origin, packed.origin, packed.id) == ("foreign", "packed", pulled.id)
    again = pull_bundle(registry, tagged("1"), store, name="tiny").bundle
    assert (again.origin, store.find(NameReference("tiny")).origin) == ("packed", "packed")


def test_a_registry_that_breaks_off_leaves_the_store_as_it_was(
    fake: FakeRegistry, registry: Registry, image: Image, store: Store
) -> None:
    publish(fake, "1", image)
    fake.ranges = False
    registry = Registry(HOST, fake.client(), sleep=lambda seconds: None)
    fake.cut_downloads = [10_000, *[20] * 20]
    with pytest.raises(RemoteError):
        pull_bundle(registry, tagged("1"), store)
    assert store.list() == ()
    fake.cut_downloads = []
    assert pull_bundle(registry, tagged("1"), store).new


def test_what_is_found_knows_its_size(fake: FakeRegistry, registry: Registry, image: Image) -> None:
    publish(fake, "1", image)
    found: Found = look(registry, REPOSITORY, "1")
    assert found.size == image.size + len(image.config)
