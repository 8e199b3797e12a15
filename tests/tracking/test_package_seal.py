from pathlib import Path

import pytest
import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

import leigh_mlops
from leigh_mlops.errors import LeighError
from leigh_mlops.models import build_model, save_package
from leigh_mlops.models.file_digest import package_digest
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import log_package, make_package
from leigh_mlops.tracking import Store, Version
from leigh_mlops.tracking.package_seal import SEAL, load_signer, load_verifier, require_seal
from tests.training.conftest import prepared


def write_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A private key and its public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Files of a package, whose content a signature does not read."""
    folder = tmp_path / "stored" / "package"
    folder.mkdir(parents=True)
    for name in ("arrays.safetensors", "model.json", "weights.safetensors"):
        (folder / name).write_text(name)
    return folder


def test_a_signature_holds_for_these_files_and_this_key_alone(package: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "ours")
    _, other = write_keys(tmp_path, "theirs")
    with pytest.raises(LeighError, match="models:/a/1 has no signature; train it with --sign-key"):
        require_seal(package, public, "models:/a/1")
    load_signer(private).sign(package, package.parent / SEAL)
    require_seal(package, public, "models:/a/1")
    with pytest.raises(LeighError, match=r"models:/a/1 does not have the signature of .*theirs.pub on its files"):
        require_seal(package, other, "models:/a/1")
    (package / "more").write_text("x")
    with pytest.raises(LeighError, match="does not have the signature"):
        require_seal(package, public, "models:/a/1")
    (package / "more").unlink()
    require_seal(package, public, "models:/a/1")
    (package / "model.json").write_text("another")
    with pytest.raises(LeighError, match="does not have the signature"):
        require_seal(package, public, "models:/a/1")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"mediaType": "x"}', "\x00"])
def test_a_damaged_signature_is_refused(content: str, package: Path, tmp_path: Path) -> None:
    _, public = write_keys(tmp_path, "ours")
    (package.parent / SEAL).write_text(content)
    with pytest.raises(LeighError, match="does not have the signature"):
        require_seal(package, public, "models:/a/1")


def test_keys_that_are_none_are_refused(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "ours")
    edwards = tmp_path / "edwards"
    edwards.write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    for wrong in (public, edwards, tmp_path / "missing"):
        with pytest.raises(LeighError, match=r"can't sign \(.*give a private key of NIST P-256"):
            load_signer(wrong)
    for wrong in (private, edwards, tmp_path / "missing"):
        with pytest.raises(LeighError, match=r"can't check signatures \(.*give the public key of NIST P-256"):
            load_verifier(wrong)
    with pytest.raises(LeighError, match="can't sign"):
        Store.open(str(tmp_path / "store"), sign_key=public)
    with pytest.raises(LeighError, match="can't check"):
        Store.open(str(tmp_path / "store"), trusted_key=private)
    assert not (tmp_path / "store").exists()


def test_a_digest_is_of_the_files_and_their_names(package: Path) -> None:
    before = package_digest(package)
    (package / "more").write_text("never read")
    assert package_digest(package) == before
    (package / "model.json").write_text("another")
    assert package_digest(package) != before
    (package / "model.json").unlink()
    with pytest.raises(LeighError, match=r"has no model\.json"):
        package_digest(package)


def test_a_version_is_loaded_as_it_was_stored(class_folders: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "ours")
    place = str(tmp_path / "store")
    data = prepared(class_folders)
    torch.manual_seed(0)
    model = build_model("autoencoder", classes=data.classes, image_size=data.image_size, channels=3)
    made = make_package(model, data.scale("linear"), data, fit_baselines(data), {}, references={})

    def registered(store: Store, name: str) -> tuple[Version, str]:
        run = store.start("trial")
        address = log_package(store, run, made, data)
        return store.register(name, address, run, {}), address

    plain, _ = registered(Store.open(place), "plain")
    signed, address = registered(Store.open(place, sign_key=private), "signed")
    save_package(made, tmp_path / "local")
    assert plain.tags["digest"] == signed.tags["digest"] == package_digest(tmp_path / "local")
    strict = Store.open(place, trusted_key=public)
    strict.download(signed, tmp_path / "signed")
    strict.download(strict.find_model(address), tmp_path / "again")
    assert leigh_mlops.load(signed.uri, store=place, require_signature=public).package.channels == made.channels
    with pytest.raises(LeighError, match="models:/plain/1 has no signature"):
        strict.download(plain, tmp_path / "plain")
    with pytest.raises(LeighError, match="has no signature"):
        leigh_mlops.load(tmp_path / "signed", require_signature=public)
    (seal,) = (tmp_path / "store" / "artifacts").rglob(SEAL)
    stored = seal.parent / "package" / "weights.safetensors"
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.write_bytes(content)
    for found in (strict.version(signed.uri), strict.find_model(address)):
        with pytest.raises(LeighError, match="are not those that were stored"):
            Store.open(place).download(found, tmp_path / "changed")
    # Whoever can write to the tags as well is stopped by the signature alone.
    strict.client.set_model_version_tag("signed", "1", "digest", package_digest(stored.parent))
    Store.open(place).download(strict.version(signed.uri), tmp_path / "changed")
    with pytest.raises(LeighError, match="does not have the signature"):
        strict.download(strict.version(signed.uri), tmp_path / "signed")
