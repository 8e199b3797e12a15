"""Synthetic plates, whose ground truth is known."""

from leigh_mlops.plates.demo.design import DemoDesign
from leigh_mlops.plates.demo.plate import find_twins, flawed_fields, is_demo, write_demo_plate

__all__ = ["DemoDesign", "flawed_fields", "is_demo", "find_twins", "write_demo_plate"]
