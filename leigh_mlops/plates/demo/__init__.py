"""Plates that are drawn, so that the truth about them is known."""

from leigh_mlops.plates.demo.design import DemoDesign
from leigh_mlops.plates.demo.plate import flawed_fields, is_demo, twins_of, write_demo_plate

__all__ = ["DemoDesign", "flawed_fields", "is_demo", "twins_of", "write_demo_plate"]
