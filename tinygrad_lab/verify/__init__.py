"""Checking gradients of any function, and explaining wrong ones. Nothing in the core knows it."""

from tinygrad_lab.verify.checking import check_arrays
from tinygrad_lab.verify.results import CheckResult
from tinygrad_lab.verify.diagnosis import Diagnosis, diagnose
from tinygrad_lab.verify.mistakes import catalogue, mistake
from tinygrad_lab.verify.replay import Edit
from tinygrad_lab.verify.texts import explain

__all__ = ["CheckResult", "Diagnosis", "Edit", "catalogue", "check_arrays", "diagnose", "explain", "mistake"]
