import inspect
import re
from dataclasses import fields

from leigh_mlops.commands import split_list
from leigh_mlops.explain import explain
from leigh_mlops.explanations import EXPLAINERS, FAITHFULNESS_METRICS
from leigh_mlops.jobs.options import ExplainOptions


def test_the_command_line_has_the_same_names_and_defaults() -> None:
    offered = inspect.signature(explain).parameters
    defaults = {each.name: offered[each.name].default for each in fields(ExplainOptions)}
    defaults["oracle"] = tuple(defaults["oracle"] or ())
    for name in ("counterfactual", "metrics"):
        defaults[name] = tuple(split_list(defaults[name]) or ())
    assert ExplainOptions(**defaults) == ExplainOptions()


def test_the_help_lists_every_method_and_metric_in_words_that_a_terminal_can_break() -> None:
    for option, names in (("methods", list(EXPLAINERS)), ("metrics", list(FAITHFULNESS_METRICS))):
        said = inspect.signature(explain).parameters[option].annotation.__metadata__[0].help
        assert set(names) <= set(re.findall(r"[a-z_]+", said))
        assert max(map(len, said.split())) < 24
