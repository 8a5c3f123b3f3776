"""`python -m tinygrad_lab`: the `tinygrad-lab` command."""

from tinygrad_lab.cli import main

if __name__ == "__main__":
    main()
