"""`python -m detcon`, as under torchrun."""

from detcon.cli import main

if __name__ == "__main__":
    main()
