"""The attributes of an object exist from its creation on."""

import ast
from pathlib import Path

import pytest

import leigh_mlops

PACKAGE = Path(leigh_mlops.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
# MLflow calls load_context before anything else.
CONSTRUCTORS = ("__init__", "__post_init__", "load_context")


def own_attributes(function: ast.AST) -> set[str]:
    """Attributes of ``self`` that a function assigns, in whatever form."""
    return {
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def late_attributes(source: str) -> set[str]:
    """Attributes, as ``Class.name``, that neither the class declares nor its constructor sets."""
    late = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef):
            continue
        known = {
            each.target.id
            for each in node.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        }
        functions = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
        for function in functions:
            known |= own_attributes(function) if function.name in CONSTRUCTORS else set()
        late |= {f"{node.name}.{name}" for each in functions for name in own_attributes(each) - known}
    return late


EXAMPLE = """
class Search:
    declared: int

    def __init__(self):
        self.known, self.other = 1, 2

    def run(self):
        self.known, self.declared = 2, 3
        self.other += 1
        {statement}
"""


@pytest.mark.parametrize("statement", ["self.late = 1", "self.late: int = 1", "a, self.late = 1, 2", "self.late += 1"])
def test_an_attribute_that_appears_later_is_found(statement: str) -> None:
    assert late_attributes(EXAMPLE.format(statement=statement)) == {"Search.late"}
    assert late_attributes(EXAMPLE.format(statement="self.known = 1")) == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_attribute_appears_after_the_creation_of_its_object(module: Path) -> None:
    assert not late_attributes(module.read_text())
