"""`python -m rnla`: the same command line as `rnla`."""

from rnla.cli import main

if __name__ == "__main__":
    main(prog_name="rnla")
