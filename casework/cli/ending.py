"""Runs a command and ends it: the exit code, and one plain sentence on stderr instead of a traceback."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer
from typer.main import get_command

from casework.cli.app import app
from casework.cli.errors import BAD_INPUT, DONE, FAILED, Stop
from casework.errors import BadInput
from casework.leaving import leave
from casework.sentences import full_stop


def main() -> NoReturn:
    """The `casework` command.

    A command lives for less than a second: collecting garbage while it imports, and taking everything down at its end,
    would be a third of that. What it did is committed and flushed by then.
    """
    gc.disable()
    leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no Chinese shows question marks
    try:
        code = app(args=list(arguments), prog_name="casework", standalone_mode=False)
        sys.stdout.flush()
    except Stop as stop:
        _say(str(stop))
        return stop.code
    except BadInput as refused:
        _say(str(refused))
        return BAD_INPUT
    except typer.TyperException as wrong:
        _say(f"{full_stop(_in_plain_words(wrong.format_message()))} See casework {_command(arguments)}--help.")
        return BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        _say("Interrupted.")
        return FAILED
    except (BrokenPipeError, SystemExit):
        # whoever read the output has seen enough (typer leaves so only then); the rest must not be flushed again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as fault:
        if sys.flags.dev_mode:
            raise
        what = " ".join(str(fault).split()) or "no more is known"
        _say(f"{type(fault).__name__}: {what} (python -X dev -m casework … shows where).")
        return FAILED
    return code if isinstance(code, int) else DONE


def _command(arguments: Sequence[str]) -> str:
    """The name of the command and of its subcommand, as far as there are such."""
    named, known = "", getattr(get_command(app), "commands", {})
    for word in arguments:
        if word not in known:
            break
        named, known = f"{named}{word} ", getattr(known[word], "commands", {})
    return named


def _in_plain_words(text: str) -> str:
    """Typer's sentence without what its own checks say in their own language."""
    text = text.replace("Value error, ", "")
    return text.replace("Input should be a valid integer, unable to parse string as an integer", "a number is wanted")


def _say(sentence: str) -> None:
    if sentence:
        print(sentence, file=sys.stderr)
