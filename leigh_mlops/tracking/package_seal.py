"""Signatures of model packages by the OpenSSF's model-signing, with a pair of elliptic keys that the user keeps."""

from pathlib import Path
from typing import Any

from leigh_mlops.errors import LeighError
from leigh_mlops.tracking.secrets import one_line

__all__ = ["SEAL", "load_signer", "load_verifier", "require_seal"]

SEAL = "signature.json"
"""File beside a package in a store: a Sigstore bundle that names each file of the package with its SHA-256."""

_MISSING = "Signatures need model-signing; install it with pip install 'leigh_mlops[signing]'."


def load_signer(key: Path) -> Any:  # noqa: ANN401
    """Return a configuration of model-signing whose ``sign(package, seal)`` signs all files of a package.

    Args:
        key: Private key in PEM, without a password: elliptic, NIST P-256, P-384 or P-521.

    Raises:
        LeighError: The key can't be used, or model-signing is not installed.
    """
    try:
        from model_signing.signing import Config
    except ImportError:
        raise LeighError(_MISSING) from None
    try:
        return Config().use_elliptic_key_signer(private_key=key)
    except (AttributeError, OSError, TypeError, ValueError) as error:  # of a key of another kind, or with a password
        raise LeighError(
            f"The key {key} can't sign ({one_line(error)}); give a private key of NIST P-256 in PEM without a password."
        ) from None


def load_verifier(key: Path) -> Any:  # noqa: ANN401
    """Return a configuration of model-signing whose ``verify(package, seal)`` raises unless the files are as signed.

    Args:
        key: Public key in PEM.

    Raises:
        LeighError: The key can't be used, or model-signing is not installed.
    """
    try:
        from model_signing import hashing, verifying
    except ImportError:
        raise LeighError(_MISSING) from None
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (AttributeError, OSError, TypeError, ValueError) as error:
        raise LeighError(
            f"The key {key} can't check signatures ({one_line(error)}); give the public key of NIST P-256 in PEM."
        ) from None
    # All files, and not only those that the signature chooses.
    return verifier.set_hashing_config(hashing.Config())


def require_seal(package: Path, key: Path, uri: str) -> None:
    """Refuse a package whose files are not exactly those that the holder of a key signed.

    Args:
        package: Folder of the package; its signature lies beside it.
        key: Public key in PEM.
        uri: Address of the package, for the message.

    Raises:
        LeighError: It has no signature, or not one by this key of these files; or as :func:`load_verifier`.
    """
    verifier, seal = load_verifier(key), package.parent / SEAL
    if not seal.is_file():
        raise LeighError(f"{uri} has no signature; train it with --sign-key, or leave out --require-signature.")
    try:
        verifier.verify(package, seal)
    except Exception as error:  # whatever a damaged or foreign signature leads to
        raise LeighError(
            f"{uri} does not have the signature of {key} on its files ({one_line(error)[:150]}); do not use it, and "
            "train it again with --sign-key."
        ) from None
