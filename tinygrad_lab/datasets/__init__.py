"""Data sets of labelled images: `digits` (bundled with scikit-learn), MNIST, Fashion-MNIST, CIFAR-10.

`load(name, root)` gives tensors ready to train on; the classes give torchvision's view of the same files. Files are
read into arrays directly and checked; nothing is unpickled.
"""

from tinygrad_lab.datasets.cifar import CIFAR10
from tinygrad_lab.datasets.digits import Digits
from tinygrad_lab.datasets.mnist import MNIST, FashionMNIST
from tinygrad_lab.datasets.splits import DATASETS, Splits, load

__all__ = ["CIFAR10", "DATASETS", "MNIST", "Digits", "FashionMNIST", "Splits", "load"]
