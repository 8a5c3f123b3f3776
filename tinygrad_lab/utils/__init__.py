"""Helpers around training that PyTorch keeps in `torch.utils`: at present `utils.data`."""

from tinygrad_lab.utils import data

__all__ = ["data"]
