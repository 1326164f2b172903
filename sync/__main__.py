"""python -m sync: one sync into a database of your own; --help tells how."""

from .command import main

main()
