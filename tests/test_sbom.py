import json
import re
import sys
from pathlib import Path

import pytest

from leigh_mlops import __version__
from release import sbom
from release.pins import LOCKS
from release.sbom import build_sbom


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_the_bill_names_each_pin_once_with_the_hashes_of_its_files(lock: Path) -> None:
    text, bill = lock.read_text(encoding="utf-8"), build_sbom(lock)
    components = bill["components"]
    references = [component["bom-ref"] for component in components]
    assert len(references) == len(set(references)) == len(re.findall(r"^[\w.-]+(?:\[.+\])?==", text, re.MULTILINE))
    assert sum(len(component["hashes"]) for component in components) == text.count("--hash=sha256:")
    assert all(re.fullmatch(r"pkg:pypi/[a-z0-9-]+@[\w.%]+", reference) for reference in references)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == __version__
    (direct,) = bill["dependencies"]
    assert set(direct["dependsOn"]) <= set(references)
    assert any(reference.startswith("pkg:pypi/torch@") for reference in direct["dependsOn"])
    assert build_sbom(lock) == bill


def test_the_bill_is_written_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dist" / "sbom.json"
    monkeypatch.setattr(sys, "argv", ["sbom", str(path)])
    sbom.main()
    assert json.loads(path.read_text()) == build_sbom(LOCKS[0])
