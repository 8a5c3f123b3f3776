"""Checking gradients of any function, and explaining wrong ones. Nothing in the core knows it."""

from tinygrad_lab.verify.checking import check_arrays
from tinygrad_lab.verify.results import CheckResult

__all__ = ["CheckResult", "check_arrays"]
