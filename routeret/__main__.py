"""``python -m routeret`` is the command ``routeret``."""

from routeret.cli import main

if __name__ == "__main__":
    main(prog_name="routeret")
