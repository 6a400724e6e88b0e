"""One function for each command: options in, exit code out. This module also gives the states to the state machine."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from states.discover import Discover
from states.format import Format
from states.mount import Mount
from states.partition import Partition
from states.report import Report
from states.validate import Validate
from zosstorage import __version__, checkpoint, cli, machine
from zosstorage.block import emptiness
from zosstorage.checkpoint import Checkpoint
from zosstorage.config import load, show, sources
from zosstorage.config.schema import Config
from zosstorage.converter import unstructure
from zosstorage.errors import ExitCode, NoDiskError, ToolError, UsageError, ZosstorageError
from zosstorage.facts import STATES
from zosstorage.machine import Provisioner
from zosstorage.output import logs, plan, report, status
from zosstorage.output.jsonschema import json_schema
from zosstorage.planning import discovery
from zosstorage.planning.decide import decide
from zosstorage.planning.observe import observe, observe_rejected
from zosstorage.system import lock, signals, streams
from zosstorage.system.running import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from zosstorage.config.load import Loaded
    from zosstorage.flags import CliOptions
    from zosstorage.model import Discovery, Verdict

log = logging.getLogger(__name__)

_DOCUMENTS = {
    "config": Config,
    "report": report.Report,
    "checkpoint": Checkpoint,
    "plan": plan.PlanDocument,
}


def call(options: CliOptions) -> int:
    """Run the command that the options name and return its exit code.

    Raises:
        ZosstorageError: the command failed.
    """
    return int(_COMMANDS[options.command](options))


def _load(options: CliOptions) -> Loaded:
    """Load the configuration; set up the log and the time limit from it, and reset what the parent process left."""
    loaded = load.load(options)
    logs.set_up(loaded.config.logging)
    streams.reset_inherited()
    LIMIT.seconds = loaded.config.tools.timeout
    return loaded


def _provisioner(loaded: Loaded) -> Provisioner:
    """Return the state machine with its states and, if it is trusted, the checkpoint of an earlier run."""
    config = loaded.config
    states: dict[str, machine.State] = {
        "discover": Discover(config),
        "validate": Validate(config),
        "partition": Partition(),
        "format": Format(),
        "mount": Mount(),
        "report": Report(config.report.path),
    }
    path = _checkpoint_path(loaded)
    provisioner = Provisioner(states, path, checkpoint.trusted(path, loaded.digest))
    provisioner.check_completed()
    return provisioner


def _checkpoint_path(loaded: Loaded) -> Path:
    return Path(loaded.config.run_dir) / "checkpoint.json"


def _require_machine() -> None:
    """Check what every command that reads disks needs: root, /proc and /sys.

    Raises:
        UsageError: the user is not root.
        ToolError: /proc or /sys is not mounted.
    """
    if os.geteuid() != 0:
        raise UsageError("this command needs root", hint="run it as root")
    # Without /proc, the kernel command line was not read; without /sys, no disk is visible.
    for kind, folder, file in (("proc", "/proc", sources.KERNEL_FILE), ("sysfs", "/sys", "/sys/class/block")):
        if not Path(file).exists():
            raise ToolError(f"{folder} is not mounted", hint=f"mount -t {kind} {kind} {folder}")


def _run(options: CliOptions) -> ExitCode:
    if options.implied and streams.has_terminal():
        with suppress(OSError):
            sys.stderr.write(cli.help_text() + "\n")
        raise UsageError(
            "no command was named",
            hint="zosstorage plan shows what a run would do to the disks; zosstorage run does it",
        )
    loaded = _load(options)
    _require_machine()
    with lock.held(loaded.config.run_dir), signals.caught():
        _provisioner(loaded).run()
    return ExitCode.OK


def _step(options: CliOptions) -> ExitCode:
    loaded = _load(options)
    _require_machine()
    with lock.held(loaded.config.run_dir), signals.caught():
        provisioner = _provisioner(loaded)
        following = STATES[min(provisioner.skip, len(STATES) - 1)]
        until = options.until or following
        if STATES.index(until) < provisioner.skip:
            log.info("already done, and still holds", extra={"state": until})
        else:
            provisioner.run(until)
    return ExitCode.OK


def _plan(options: CliOptions) -> ExitCode:
    config = _load(options).config
    _require_machine()
    found = Discover(config).find()
    shown, refused = _planned(found, config)
    _print(json.dumps(unstructure(shown), indent=2) + "\n" if options.json else plan.text(shown))
    if refused:
        raise refused
    return ExitCode.OK


def _planned(found: Discovery, config: Config) -> tuple[plan.PlanDocument, ZosstorageError | None]:
    """Return what a run would do and, if it would refuse, the error."""
    verdicts: list[Verdict] = []
    planned, refused = None, None
    try:
        discovery.require(found, config)
        seen = observe(found, config)
        verdicts += map(emptiness.verdict, seen.disks)
        planned = decide(seen, config)
    except ZosstorageError as error:
        refused = error
    verdicts += map(emptiness.verdict, observe_rejected(found, config))
    return plan.document(found, verdicts, planned, refused), refused


def _status(options: CliOptions) -> ExitCode:
    path = _checkpoint_path(_load(options))
    try:
        found = checkpoint.load(path) or Checkpoint()
    except (ValueError, OSError) as error:
        raise checkpoint.unusable(path, error) from error
    _print(json.dumps(unstructure(found), indent=2) + "\n" if options.json else status.text(found))
    return ExitCode.OK


def _verify(options: CliOptions) -> ExitCode:
    from zosstorage import verify  # noqa: PLC0415 - it imports sh and asyncio, which no other command uses
    from zosstorage.output import verification  # noqa: PLC0415 - likewise

    loaded = _load(options)
    _require_machine()
    config = loaded.config
    promised = verify.promise(config.report.path, _checkpoint_path(loaded))
    if promised is None:
        if options.prometheus:
            _print(verification.prometheus(None))
        message = f"nothing was provisioned: there is no report {config.report.path}"
        raise NoDiskError(message, hint="zosstorage run provisions the machine; name another report with --report")
    found = verify.verify(promised, config.root, config.mounts.data_root, config.tools.timeout)
    if options.json:
        _print(json.dumps(unstructure(found), indent=2) + "\n")
    else:
        _print(verification.prometheus(found) if options.prometheus else verification.text(found))
    if found.ok:
        return ExitCode.OK
    raise verification.failure(found)


def _reset(options: CliOptions) -> ExitCode:
    loaded = _load(options)
    path = _checkpoint_path(loaded)
    with lock.held(loaded.config.run_dir):
        try:
            found = checkpoint.load(path)
        except (ValueError, OSError):  # damaged: remove the file
            found = None
        if found and options.start:
            found.forget(options.start)
            checkpoint.save(path, found)
            return ExitCode.OK
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise checkpoint.unusable(path, error) from error
    return ExitCode.OK


def _graph(options: CliOptions) -> ExitCode:
    _print(machine.graph(options.format).rstrip("\n") + "\n")
    return ExitCode.OK


def _schema(options: CliOptions) -> ExitCode:
    kind = _DOCUMENTS[options.document]
    _print(json.dumps(json_schema(kind, complete=kind is not Config), indent=2) + "\n")
    return ExitCode.OK


def _config(options: CliOptions) -> ExitCode:
    if options.action == "check":
        _print(show.check(options.file))
    else:
        _print(show.show(load.load(options), with_origins=options.origins))
    return ExitCode.OK


def _help(options: CliOptions) -> ExitCode:
    _print(cli.help_text(options.topic))
    return ExitCode.OK


def _version(_options: CliOptions) -> ExitCode:
    _print(f"zosstorage {__version__}\n")
    return ExitCode.OK


def _print(text: str) -> None:
    """Write the output of a command to stdout; it is not a failure if the reader has closed the pipe.

    Raises:
        ZosstorageError: the output cannot be written.
    """
    try:
        if not text.isascii():  # a disk model or a path may have characters that the locale cannot encode
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # it is no other TextIO
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        streams.discard_stdout(error)


_COMMANDS: dict[str, Callable[[CliOptions], ExitCode]] = {
    "run": _run,
    "step": _step,
    "plan": _plan,
    "status": _status,
    "verify": _verify,
    "reset": _reset,
    "graph": _graph,
    "schema": _schema,
    "config": _config,
    "help": _help,
    "version": _version,
}
