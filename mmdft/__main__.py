"""`python -m mmdft` is the command `mmdft`."""

from mmdft.cli import main

main()
