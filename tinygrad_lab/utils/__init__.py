"""Helpers around training that PyTorch keeps in `torch.utils`: at present `utils.data`."""
