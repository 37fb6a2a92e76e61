"""The group of all commands: it imports a command only to run it, and turns errors into messages."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from routeret import __version__
from routeret.errors import RouteretError

BAD_INPUT = 2
INTERRUPTED = 130


class LazyGroup(click.Group):
    """Commands by name, each in a module of its own under ``routeret.cli``."""

    def __init__(self, name: str, *, help: str, commands: Mapping[str, tuple[str, str]]) -> None:
        """Keep where the commands are.

        Args:
            name: the program's name.
            help: the text of ``--help``.
            commands: module and one line of help by name; the module holds the command as ``command``.
        """
        super().__init__(name, help=help, context_settings={"help_option_names": ["-h", "--help"]})
        self.params.append(_version_option())
        self._modules = {command: module for command, (module, _) in commands.items()}
        self.short_help_by_command = {command: short_help for command, (_, short_help) in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of the commands, in the order of a first day with them."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command of a name, imported now; None if there is none."""
        if cmd_name not in self._modules:
            return None
        command: click.Command = import_module(f"routeret.cli.{self._modules[cmd_name]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.short_help_by_command.items()))

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Run a command; wrong input ends with its message and code 2, an interruption with code 130."""
        try:
            return super().invoke(ctx)
        except RouteretError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(BAD_INPUT)
        except BrokenPipeError:
            raise  # the reader of our output went away, which click ends quietly
        except OSError as error:
            if error.filename is None:
                raise
            click.echo(f"Error: {error.filename}: {error.strerror}", err=True)
            ctx.exit(BAD_INPUT)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)


def _version_option() -> click.Option:
    def show(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked and not ctx.resilient_parsing:
            click.echo(f"routeret {__version__}")
            ctx.exit()

    return click.Option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=show, help="Show the version and exit."
    )
