"""What every command is, with examples and repeatable options that take several values, and every group of commands."""

from collections.abc import Callable, Sequence
from typing import Any

import click

_WHOLE_SENTENCE = 1_000


class Command(click.Command):
    """A command with examples; ``--data A B`` is ``--data A --data B`` where ``--data`` may be repeated."""

    def __init__(
        self,
        name: str | None,
        *,
        callback: Callable[..., Any] | None = None,
        params: list[click.Parameter] | None = None,
        help: str | None = None,
        examples: Sequence[str],
    ) -> None:
        """Make a command.

        Args:
            name: what it is called.
            callback: what it runs.
            params: its arguments and options.
            help: the text above the options.
            examples: command lines shown below the options.
        """
        super().__init__(name, callback=callback, params=params, help=help)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the examples."""
        with formatter.section("Examples" if len(self.examples) > 1 else "Example"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments after every further value of a repeatable option has got the option's name."""
        options = [option for option in self.params if isinstance(option, click.Option) and option.multiple]
        repeatable = {name for option in options for name in option.opts}
        spread: list[str] = []
        current = ""
        for argument in args:
            if argument.startswith("-"):
                current = argument if argument in repeatable else ""
            elif current and spread[-1] != current:
                spread.append(current)
            spread.append(argument)
        return super().parse_args(ctx, spread)


class Group(click.Group):
    """Commands under one name, whose help tells of each what the whole first sentence of its own help tells."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        named = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(limit=_WHOLE_SENTENCE)) for name, one in named])
