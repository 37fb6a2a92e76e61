"""Write docs/cli.md from the commands' own help: python docs/make_cli_page.py."""

from collections.abc import Iterator
from pathlib import Path

import click

from routeret.cli import main

PAGE = Path(__file__).parent / "cli.md"
WIDTH = 100
HEAD = """# The command line

Written by `make docs` from what `--help` says; change it there.
"""


def page() -> str:
    """Give the text of the page."""
    sections = [HEAD, *(f"## {context.command_path}\n\n```text\n{text}\n```\n" for context, text in helps())]
    return "\n".join(sections)


def helps() -> Iterator[tuple[click.Context, str]]:
    """Give every command, in the order of the list, with its help."""
    settings = {**main.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(main, info_name="routeret", **settings)
    yield from helps_below(main, context)


def helps_below(command: click.Command, context: click.Context) -> Iterator[tuple[click.Context, str]]:
    yield context, command.get_help(context)
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        if below is not None:
            yield from helps_below(below, click.Context(below, info_name=name, parent=context))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
