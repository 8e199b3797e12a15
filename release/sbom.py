"""Software bill of materials of a lock file, CycloneDX 1.6 in JSON.

python -m release.sbom FILE
"""

import json
import sys
import uuid
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from leigh_mlops import __version__
from release.pins import LOCKS, Pin, read_pins, read_requirements

__all__ = ["build_sbom"]

_NAME = "leigh_mlops"


def build_sbom(lock: Path) -> dict[str, Any]:
    """Build the bill of a lock file; the same lock and version give the same bill.

    A component's hashes are those of its files that may be installed, one of which is. Environments in which it is
    installed are its property ``marker``.
    """
    pins = read_pins(lock)
    root = f"pkg:pypi/{_NAME.replace('_', '-')}@{__version__}"
    bill: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, root + lock.read_text(encoding='utf-8'))}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": _NAME,
                "version": __version__,
                "purl": root,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
    }
    required = {canonicalize_name(each.name) for each in read_requirements()}
    direct = [_package_url(pin) for pin in pins if pin.name in required]
    bill["components"] = [_describe_component(pin) for pin in pins]
    return bill | {"dependencies": [{"ref": root, "dependsOn": direct}]}


def _package_url(pin: Pin) -> str:
    return f"pkg:pypi/{pin.name}@{pin.version.replace('+', '%2B')}"


def _describe_component(pin: Pin) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _package_url(pin),
        "name": pin.name,
        "version": pin.version,
        "purl": _package_url(pin),
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in pin.hashes],
    }
    return component | ({"properties": [{"name": "marker", "value": pin.marker}]} if pin.marker else {})


def main() -> None:
    """Write the bill of the first lock to the file that is named."""
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    bill = build_sbom(LOCKS[0])
    path.write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")
    print(f"Wrote {len(bill['components'])} components to {path}.")


if __name__ == "__main__":
    main()
