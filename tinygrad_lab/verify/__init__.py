"""Checking gradients of any function, and explaining wrong ones. Nothing in the core knows it."""

from tinygrad_lab.verify.checking import check_arrays
from tinygrad_lab.verify.diagnosis import Diagnosis, diagnose
from tinygrad_lab.verify.differences import NumericalGradient, StepSizeStudy, numerical_gradient, step_size_study
from tinygrad_lab.verify.functions import gradcheck
from tinygrad_lab.verify.mistakes import catalogue, mistake
from tinygrad_lab.verify.replay import Edit
from tinygrad_lab.verify.results import CheckResult
from tinygrad_lab.verify.steps import Departure, check_steps
from tinygrad_lab.verify.taylor import TaylorTest, taylor_test
from tinygrad_lab.verify.texts import explain, explain_steps

__all__ = [
    "CheckResult",
    "Departure",
    "Diagnosis",
    "Edit",
    "NumericalGradient",
    "StepSizeStudy",
    "TaylorTest",
    "catalogue",
    "check_arrays",
    "check_steps",
    "diagnose",
    "explain",
    "explain_steps",
    "gradcheck",
    "mistake",
    "numerical_gradient",
    "step_size_study",
    "taylor_test",
]
