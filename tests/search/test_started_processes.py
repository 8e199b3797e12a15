import pytest
from ray.tune.execution import class_cache

from leigh_mlops.search.started_processes import give_trials_started_processes


class Trial:
    pass


def environment() -> dict[str, str]:
    options = class_cache._ActorClassCache().get(Trial)._default_options
    return options["runtime_env"].get("env_vars", {})


def test_trials_have_no_environment_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEFAULT_ENV_VARS", "ENV_VARS_TO_PROPAGATE"):
        monkeypatch.setattr(class_cache, name, getattr(class_cache, name))  # restored at the end
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    assert "RAY_CHDIR_TO_TRIAL_DIR" in environment()
    give_trials_started_processes()
    assert not environment()
