"""Loader of YAML in which 1e-4 is a number, as in YAML 1.2."""

import re

import yaml

__all__ = ["NumberLoader"]


class NumberLoader(yaml.SafeLoader):
    """Safe loader in which 1e-4 is a number."""


NumberLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
