import inspect
from dataclasses import fields

from leigh_mlops.commands import split_list
from leigh_mlops.explain import explain
from leigh_mlops.jobs.options import ExplainOptions


def test_the_command_line_has_the_same_names_and_defaults() -> None:
    offered = inspect.signature(explain).parameters
    defaults = {each.name: offered[each.name].default for each in fields(ExplainOptions)}
    defaults["counterfactual"] = tuple(split_list(defaults["counterfactual"]) or ())
    assert ExplainOptions(**defaults) == ExplainOptions()
