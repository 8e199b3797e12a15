"""The files of deploy/ are what Compose and KubeRay take, and hold no secret."""

import configparser
import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

from leigh_mlops.commands import EXIT_MOST_FAILED
from tests.deploy import services

ROOT = services.DEPLOY.parent
NIGHTLY_VARIABLES = ("LEIGH_MODEL", "LEIGH_PLATES", "LEIGH_RESULTS")
JOBS = ("rayjob-tune.yaml", "rayjob-explain.yaml")
PINNED = re.compile(r"[\w./-]+:(?!latest)[\w.-]*\d[\w.-]*")
OWN_IMAGE = "leigh_mlops:0.1.0"
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


def job(name: str) -> dict:
    return yaml.safe_load((services.DEPLOY / name).read_text())


def rayjob_schema() -> dict:
    return json.loads((Path(__file__).parent / "rayjob.schema.json").read_text())


def compose_schema() -> dict:
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    return json.loads(vendored.read_text())


def templates_of(found: dict) -> list[dict]:
    cluster = found["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [found["spec"]["submitterPodTemplate"], *(group["template"] for group in groups)]


def pods(found: dict) -> Iterator[dict]:
    for template in templates_of(found):
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
    assert [image for image in images if not (DIGEST.search(image) or image == OWN_IMAGE)] == []
    images = [DIGEST.sub("", image) for image in images]
    images += [container["image"] for name in JOBS for pod in pods(job(name)) for container in pod["containers"]]
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert [base for base in bases if not DIGEST.search(base)] == []
    images += [DIGEST.sub("", base) for base in bases]
    assert [image for image in images if not PINNED.fullmatch(image)] == []


def assert_confined(pod: dict) -> None:
    """No token of Kubernetes, no further privileges, nothing writable but volumes, and limits of memory."""
    assert pod["automountServiceAccountToken"] is False
    writable = {volume["name"] for volume in pod["volumes"]}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert "/tmp" in mounts
        assert set(mounts.values()) <= writable


def test_workers_reach_neither_database_nor_object_store() -> None:
    networks = {name: set(service["networks"]) for name, service in services.compose()["services"].items()}
    kept = networks["postgres"] | networks["objects"]
    assert networks["mlflow"] >= kept
    assert not kept & (networks["ray-head"] | networks["ray-worker"])
    assert networks["mlflow"] & networks["ray-worker"]
    assert all(services.compose()["networks"][name] == {"internal": True} for name in kept)


def test_pods_reach_each_other_and_the_server_alone() -> None:
    policy = yaml.safe_load((services.DEPLOY / "networkpolicy.yaml").read_text())["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    (label,) = policy["podSelector"]["matchLabels"].items()
    templates = [
        cron_job()["spec"]["jobTemplate"]["spec"]["template"],
        *(t for name in JOBS for t in templates_of(job(name))),
    ]
    assert all(label in template["metadata"]["labels"].items() for template in templates)
    reached = [peer["podSelector"]["matchLabels"] for rule in policy["egress"] for peer in rule["to"]]
    assert reached == [{"app": "leigh"}, {"app": "mlflow"}, {"k8s-app": "kube-dns"}]
    assert all(
        rule["ports"] for rule in policy["egress"] if rule["to"][0]["podSelector"]["matchLabels"] != {"app": "leigh"}
    )


def test_a_new_user_sees_nothing() -> None:
    settings = configparser.ConfigParser()
    settings.read(services.DEPLOY / "mlflow_auth.ini")
    assert settings["mlflow"]["default_permission"] == "NO_PERMISSIONS"


def cron_job() -> dict:
    return yaml.safe_load((services.DEPLOY / "cronjob-nightly.yaml").read_text())


def test_the_nightly_job_is_confined_and_never_runs_twice() -> None:
    spec = cron_job()["spec"]
    assert re.fullmatch(r"(\S+ ){4}\S+", spec["schedule"])
    assert spec["concurrencyPolicy"] == "Forbid"
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert_confined(pod)
    (container,) = pod["containers"]
    assert container["command"] == ["sh", "/app/nightly.sh"]
    assert "deploy/nightly.sh" in (ROOT / "Dockerfile").read_text()
    assert set(NIGHTLY_VARIABLES) <= {each["name"] for each in container["env"]}


def test_a_night_whose_fields_mostly_failed_is_not_retried() -> None:
    spec = cron_job()["spec"]["jobTemplate"]["spec"]
    most_failed, emptied_node = spec["podFailurePolicy"]["rules"]
    (container,) = spec["template"]["spec"]["containers"]
    assert most_failed == {
        "action": "FailJob",
        "onExitCodes": {"containerName": container["name"], "operator": "In", "values": [EXIT_MOST_FAILED]},
    }
    assert emptied_node["action"] == "Ignore"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # Kubernetes takes no policy with another one


def test_the_timer_starts_the_service_that_is_confined() -> None:
    service, timer = (configparser.RawConfigParser(strict=False) for _ in range(2))
    for units in (service, timer):
        units.optionxform = str  # type: ignore[assignment,method-assign]
    service.read(services.DEPLOY / "leigh-nightly.service")
    timer.read(services.DEPLOY / "leigh-nightly.timer")
    assert timer["Timer"]["OnCalendar"]
    assert timer["Install"]["WantedBy"] == "timers.target"
    confined = service["Service"]
    assert confined["ExecStart"].endswith("deploy/nightly.sh")
    assert (confined["ProtectSystem"], confined["NoNewPrivileges"]) == ("strict", "true")
    assert confined["KillMode"] == "mixed"  # else the script and systemd both send SIGTERM to the job
    assert {"MemoryMax", "TasksMax", "User"} <= confined.keys()


def write_plates(folder: Path) -> tuple[Path, Path]:
    """Two plates that are not finished and one that is, and a folder for their results."""
    results, plates = folder / "results", folder / "plates of today"
    for each in (results / "done", plates / "a", plates / "done"):
        each.mkdir(parents=True)
    (plates / "b.parquet").touch()
    (results / "done" / "job.json").write_text(json.dumps({"finished": True}, indent=2))
    return plates, results


def start_night(folder: Path, cases: str) -> "subprocess.Popen[bytes]":
    """Start the nightly script; ``cases`` are those of a shell for the arguments of ``python``."""
    plates, results = write_plates(folder)
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\ncase " $*" in\n{cases}esac\n')
    python.chmod(0o755)
    variables = dict(zip(NIGHTLY_VARIABLES, ("models:/m/1", str(plates), str(results)), strict=True))
    environment = variables | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.Popen(["sh", str(services.DEPLOY / "nightly.sh")], env=environment)


def read_calls(folder: Path) -> list[str]:
    calls = (folder / "calls").read_text().splitlines()
    return [Path(call).name if "leigh_mlops.explain" in call else "trends" for call in calls]


@pytest.mark.parametrize(("codes", "ended", "started"), [
    ({}, 0, ["a", "b", "trends"]),
    ({"a": 3}, 3, ["a", "b", "trends"]),
    ({"a": 1, "b": 3}, 1, ["a", "b", "trends"]),
    ({"a": 3, "b": 1}, 1, ["a", "b", "trends"]),
    ({"a": 143}, 143, ["a"]),
])  # fmt: skip
def test_a_night_explains_what_is_not_finished(
    tmp_path: Path, codes: dict[str, int], ended: int, started: list[str]
) -> None:
    night = start_night(tmp_path, "".join(f'*"/{name}") exit {code};;\n' for name, code in codes.items()))
    assert night.wait() == ended
    assert read_calls(tmp_path) == started


def test_a_signal_to_the_script_ends_the_job_and_the_night(tmp_path: Path) -> None:
    waits = """*"/a") trap 'touch "$0.stopped"; exit 143' TERM; touch "$0.ready"; while :; do sleep 0.05; done;;\n"""
    night = start_night(tmp_path, waits)
    ready, stopped = (tmp_path / "bin" / f"python.{state}" for state in ("ready", "stopped"))
    while not ready.exists():
        assert night.poll() is None
        time.sleep(0.02)
    assert not stopped.exists()
    night.terminate()
    assert night.wait() == 143
    assert stopped.exists()
    assert read_calls(tmp_path) == ["a"]


def test_nothing_runs_as_root() -> None:
    for service in services.compose()["services"].values():
        assert service["user"].split(":")[0] not in ("", "0", "root")
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert service["mem_limit"]
        assert service["pids_limit"] <= 4096
    for name in JOBS:
        for pod in pods(job(name)):
            assert pod["securityContext"]["runAsNonRoot"]
            assert_confined(pod)
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
        assert set(values) <= {"/state", "/cache", "/tmp", "0"}
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


def conditional_pins(lock: str) -> dict[str, set[str]]:
    """Versions of each package with their conditions; some have one version for each Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\\\n]+)", lock, re.MULTILINE):
        found.setdefault(name, set()).add(version.strip())
    return found


def different_pins(one: str, other: str) -> set[str]:
    """Packages of both locks with other versions or conditions."""
    mine, yours = conditional_pins(one), conditional_pins(other)
    return {name for name in mine.keys() & yours.keys() if mine[name] != yours[name]}


def test_the_image_has_the_versions_that_are_tested() -> None:
    tests, image = ((ROOT / folder / "requirements.lock").read_text() for folder in ("", "deploy"))
    for line in re.findall(r"^numpy==.*$", tests, re.MULTILINE):
        assert different_pins(tests.replace(line, line.replace("==", "==9")), image) == {"numpy"}
    assert different_pins(tests, image) == set()
    shipped = pins(services.DEPLOY / "requirements.lock")
    assert len(shipped) > 100
    assert "pytest" not in shipped
    assert {"aiohttp-cors", "psycopg", "boto3", "flask-wtf"} <= shipped.keys()
    versions = {job(name)["spec"]["rayClusterSpec"]["rayVersion"] for name in JOBS}
    assert versions == {shipped["ray"]}


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/requirements.lock"])
def test_a_lock_names_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"https?://|file:|^-", text, re.MULTILINE)
