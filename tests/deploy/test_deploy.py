"""The files of deploy/ are what Compose and KubeRay take, and hold no secret."""

import copy
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.deploy import services

ROOT = services.DEPLOY.parent
JOBS = ("rayjob-tune.yaml", "rayjob-explain.yaml")
PINNED = re.compile(r"[\w./-]+:(?!latest)[\w.-]*\d[\w.-]*")
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


def job(name: str) -> dict:
    return yaml.safe_load((services.DEPLOY / name).read_text())


def rayjob_schema() -> dict:
    return json.loads((Path(__file__).parent / "rayjob.schema.json").read_text())


def compose_schema() -> dict:
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    return json.loads(vendored.read_text())


def pods(found: dict) -> Iterator[dict]:
    cluster = found["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for template in [found["spec"]["submitterPodTemplate"], *(group["template"] for group in groups)]:
        yield template["spec"]


def test_compose_file_is_one() -> None:
    schema = compose_schema()
    jsonschema.validate(services.compose(), schema)
    broken = copy.deepcopy(services.compose())
    broken["services"]["mlflow"]["volume"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_one_node_has_all_gpus() -> None:
    overlay = yaml.safe_load((services.DEPLOY / "compose.gpu.yaml").read_text())
    jsonschema.validate(overlay, compose_schema())
    base = services.compose()["services"]["ray-worker"]["deploy"]
    assert "resources" not in base
    (name,) = overlay["services"]
    merged = base | overlay["services"][name]["deploy"]
    assert (name, merged["replicas"]) == ("ray-worker", 1)
    (device,) = merged["resources"]["reservations"]["devices"]
    assert services.expanded(device["count"], {}) == "all"
    assert device["capabilities"] == ["gpu"]


def installed(folder: Path, index: str) -> list[tuple[list[str], set[str]]]:
    """Arguments of each call of pip as an image is built, and the names in the file that it reads."""
    (folder / "bin").mkdir(parents=True)
    pip = folder / "bin" / "pip"
    pip.write_text('#!/bin/sh\necho "$@" >> calls\n')
    pip.chmod(0o755)
    shutil.copy(services.DEPLOY / "requirements.lock", folder)
    environment = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "TORCH_INDEX": index}
    script = ["sh", str(services.DEPLOY / "install_requirements.sh")]
    subprocess.run(script, cwd=folder, env=environment, check=True)
    calls = [line.split() for line in (folder / "calls").read_text().splitlines()]
    return [(call, set(pins(folder / call[-1])) if call[-2] == "-r" else set()) for call in calls]


def test_an_image_without_cuda_has_the_same_versions(tmp_path: Path) -> None:
    ((_, everything),) = installed(tmp_path / "cuda", "")
    shipped = pins(services.DEPLOY / "requirements.lock")
    assert everything == set(shipped)
    (first, kept), (second, _) = installed(tmp_path / "cpu", "https://index.example/cpu")
    assert "--require-hashes" in first
    left_out = everything - kept
    assert {"torch", "torchvision", "triton", "nvidia-cudnn-cu13", "cuda-toolkit"} <= left_out
    assert not [name for name in kept if re.match("nvidia-|cuda-", name)]
    assert all(re.match("nvidia-|cuda-|triton|torch", name) for name in left_out)
    assert second[-4:] == [
        *("--index-url", "https://index.example/cpu"),
        *(f"{name}=={shipped[name]}" for name in ("torch", "torchvision")),
    ]


@pytest.mark.parametrize("name", JOBS)
def test_rayjob_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(rayjob_schema())
    jsonschema.validate(job(name), rayjob_schema())


def no_template(found: dict) -> None:
    del found["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]


def number_in_place_of_text(found: dict) -> None:
    found["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


def misspelt(found: dict) -> None:
    found["spec"]["shutdownAfterJobFinish"] = True


@pytest.mark.parametrize("spoil", [no_template, number_in_place_of_text, misspelt])
def test_the_schema_refuses_what_kuberay_would(spoil: Callable[[dict], None]) -> None:
    found = copy.deepcopy(job(JOBS[0]))
    spoil(found)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, rayjob_schema())


def test_every_image_is_pinned() -> None:
    assert not PINNED.fullmatch("postgres:latest")
    assert not PINNED.fullmatch("postgres")
    images = [service["image"] for service in services.compose()["services"].values()]
    images += [container["image"] for name in JOBS for pod in pods(job(name)) for container in pod["containers"]]
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert [base for base in bases if not DIGEST.search(base)] == []
    images += [DIGEST.sub("", base) for base in bases]
    assert [image for image in images if not PINNED.fullmatch(image)] == []


def test_nothing_runs_as_root() -> None:
    for service in services.compose()["services"].values():
        assert service["user"].split(":")[0] not in ("", "0", "root")
        assert service["cap_drop"] == ["ALL"]
    for name in JOBS:
        for pod in pods(job(name)):
            assert pod["securityContext"]["runAsNonRoot"]
            assert all(not each["securityContext"]["allowPrivilegeEscalation"] for each in pod["containers"])
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["leigh"]
    steps = [number for number, line in enumerate(lines) if line.startswith(("COPY", "CMD"))]
    assert min(steps) > lines.index("USER leigh")


def test_secrets_come_from_outside() -> None:
    secret = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY", re.IGNORECASE)
    for service in services.compose()["services"].values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
        assert not secret.search(" ".join(service.get("command", [])))
    for name in JOBS:
        text = (services.DEPLOY / name).read_text()
        assert "secretRef: {name: leigh-tracking}" in text
        values = [each["value"] for pod in pods(job(name)) for c in pod["containers"] for each in c.get("env", [])]
        assert set(values) <= {"/state", "/cache", "0"}
    assert ".env" in (services.DEPLOY / ".gitignore").read_text().split()
    assert "deploy/.env" in (ROOT / ".dockerignore").read_text().split()


def test_compose_refuses_to_start_without_a_secret() -> None:
    passwords = services.Passwords()
    assert services.environment_of("mlflow", passwords)["PGPASSWORD"] == passwords.POSTGRES_PASSWORD
    with pytest.raises(KeyError, match="POSTGRES_PASSWORD"):
        services.expanded("${POSTGRES_PASSWORD:?set it}", {})
    assert services.expanded("${MLFLOW_USER:-leigh}", {}) == "leigh"


@pytest.mark.parametrize("name", JOBS)
def test_a_job_runs_a_command_that_there_is(name: str) -> None:
    python, option, module, *arguments = shlex.split(job(name)["spec"]["entrypoint"])
    assert (python, option) == ("python", "-m")
    assert (ROOT / f"{module.replace('.', '/')}.py").exists()
    assert "--ray-address" in arguments


def test_nodes_see_one_state_folder() -> None:
    for name in ("ray-head", "ray-worker"):
        service = services.compose()["services"][name]
        assert f"state:{service['environment']['LEIGH_STATE']}" in service["volumes"]
    for name in JOBS:
        _, head, worker = pods(job(name))
        assert head["volumes"] == worker["volumes"]
        assert head["containers"][0]["volumeMounts"] == worker["containers"][0]["volumeMounts"]


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([\w.+!-]+)", lock.read_text(), re.MULTILINE))


def test_the_image_has_the_versions_that_are_tested() -> None:
    tested, shipped = pins(ROOT / "requirements.lock"), pins(services.DEPLOY / "requirements.lock")
    assert len(shipped) > 100
    assert {name: tested[name] for name in shipped if name in tested} == {
        name: version for name, version in shipped.items() if name in tested
    }
    assert "pytest" not in shipped
    assert {"aiohttp-cors", "psycopg", "boto3", "flask-wtf"} <= shipped.keys()
    versions = {job(name)["spec"]["rayClusterSpec"]["rayVersion"] for name in JOBS}
    assert versions == {shipped["ray"]}


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/requirements.lock"])
def test_a_lock_names_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"https?://|file:|^-", text, re.MULTILINE)
