"""Loader of YAML in which 1e-4 is a number, as in YAML 1.2, and whose references stay small."""

import re

import yaml

__all__ = ["NumberLoader"]

_MOST_NODES = 100_000


class NumberLoader(yaml.SafeLoader):
    """Safe loader in which 1e-4 is a number.

    A file whose references to itself would fill the memory when they are written out is refused as no YAML.
    """

    def get_single_node(self) -> yaml.Node | None:
        """Compose the document.

        Raises:
            yaml.YAMLError: It is none, or its references make it too large, or endless.
        """
        node = super().get_single_node()
        if node is not None and _count_nodes(node, {}) > _MOST_NODES:
            problem = f"its references written out, it has more than {_MOST_NODES} values"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return node


def _count_nodes(node: yaml.Node, known: dict[int, float]) -> float:
    """Number of a node's values with its references written out; infinite if it refers to itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        held = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for each in held for part in (each if isinstance(each, tuple) else (each,))]
        known[id(node)] = 1 + sum(_count_nodes(part, known) for part in parts)
    return known[id(node)]


NumberLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
