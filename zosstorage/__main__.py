"""The only door: commands, the states wired into the machine, errors turned into exit codes."""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import TYPE_CHECKING

from zosstorage import __version__, cli
from zosstorage.errors import ExitCode, InterruptedRunError, ToolError, UsageError, ZosstorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import NoReturn

    from zosstorage.config.flags import CliOptions
    from zosstorage.config.sources import Loaded
    from zosstorage.machine import Provisioner
    from zosstorage.model import Verdict


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    gc.disable()  # a run is short and what it makes stays: looking for garbage would find none, and costs a tenth of it
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from zosstorage.system import streams

        streams.open_closed()
    status = _command(sys.argv[1:] if argv is None else argv)
    try:
        sys.stderr.flush()
    except OSError:  # nobody can be told any more: the exit code says it alone
        from zosstorage.system import streams

        streams.let_go(sys.stderr)
    return status


def script() -> NoReturn:
    """The installed command: `main`, and the end of the process without that of the interpreter.

    That takes a fifth of a short run, to give back one by one what the kernel takes back at once. Nothing is left in a
    buffer: stdout is flushed by `_print`, stderr by `main`, and every file is closed where it was written.
    """
    os._exit(main())


def _command(argv: Sequence[str]) -> int:
    try:
        options = cli.parse(argv)
        return _COMMANDS[options.command](options)
    except (Exception, InterruptedRunError, KeyboardInterrupt) as error:  # noqa: BLE001 - the last one: a defect ends in a sentence as well
        from zosstorage.output import failure

        return failure.ended(error)


def _print(text: str) -> None:
    """Write to stdout what a command was asked for; a reader that has gone away is no failure.

    Raises:
        ZosstorageError: it cannot be written.
    """
    try:
        if not text.isascii():  # a model's name, a path: no locale may stand in their way
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # it is no other TextIO
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        from zosstorage.system import streams

        streams.give_up_stdout(error)


def _load(options: CliOptions) -> Loaded:
    from zosstorage.config import sources

    return _set_up(sources.load(options))


def _set_up(loaded: Loaded) -> Loaded:
    from zosstorage.output import logs
    from zosstorage.system import run
    from zosstorage.system.limits import LIMITS

    logs.set_up(loaded.config.logging)
    run.take_over()
    LIMITS.timeout = loaded.config.tools.timeout
    return loaded


def _provisioner(loaded: Loaded) -> Provisioner:
    """The states wired into the machine, over the checkpoint as far as it can be relied on."""
    from states.discover import Discover
    from states.format import Format
    from states.mount import Mount
    from states.partition import Partition
    from states.report import Report
    from states.validate import Validate
    from zosstorage import checkpoint
    from zosstorage.machine import Provisioner, State

    config = loaded.config
    states: dict[str, State] = {
        "discover": Discover(config),
        "validate": Validate(config),
        "partition": Partition(config),
        "format": Format(config),
        "mount": Mount(config),
        "report": Report(config),
    }
    path = _checkpoint_path(loaded)
    provisioner = Provisioner(states, path, checkpoint.trusted(path, loaded.digest))
    provisioner.rely()
    return provisioner


def _checkpoint_path(loaded: Loaded) -> Path:
    from pathlib import Path

    return Path(loaded.config.run_dir) / "checkpoint.json"


def _require_machine() -> None:
    """What every command that looks at disks needs of its surroundings."""
    if os.geteuid() != 0:
        raise UsageError(
            "this command needs root", hint="run it as root; what it does to disks cannot be done otherwise"
        )
    from zosstorage.config import sources

    # Without /proc the words on the kernel command line were not read either; without /sys no disk would be seen.
    for kind, folder, file in (("proc", "/proc", sources.KERNEL_FILE), ("sysfs", "/sys", "/sys/class/block")):
        if not os.path.exists(file):  # noqa: PTH110  pathlib costs a rerun
            raise ToolError(f"{folder} is not mounted", hint=f"mount -t {kind} {kind} {folder}")


def _run(options: CliOptions) -> int:
    from zosstorage import rerun
    from zosstorage.config import sources

    merged = sources.merge(options)
    if rerun.still_done(merged):
        return int(ExitCode.OK)
    from zosstorage.system import lock, signals

    loaded = _set_up(sources.checked(merged))
    _require_machine()
    with lock.held(loaded.config.run_dir), signals.caught():
        provisioner = _provisioner(loaded)
        provisioner.run()
        rerun.keep(provisioner, merged)
    return int(ExitCode.OK)


def _step(options: CliOptions) -> int:
    import logging

    from zosstorage import rerun
    from zosstorage.checkpoint import STATES
    from zosstorage.system import lock, signals

    loaded = _load(options)
    _require_machine()
    with lock.held(loaded.config.run_dir), signals.caught():
        provisioner = _provisioner(loaded)
        following = STATES[min(provisioner.skip, len(STATES) - 1)]
        until = options.until or following
        if STATES.index(until) < provisioner.skip:
            logging.getLogger("zosstorage").info("already done, and still holds", extra={"state": until})
        else:
            provisioner.run(until)
            if until == STATES[-1]:
                rerun.keep(provisioner, loaded.merged)
    return int(ExitCode.OK)


def _plan(options: CliOptions) -> int:
    from states.discover import Discover
    from states.validate import Validate
    from zosstorage.block import sysfs
    from zosstorage.model import Facts
    from zosstorage.output.plan import Outlook

    config = _load(options).config
    _require_machine()
    discovery, validate = sysfs.discover(config), Validate(config)
    verdicts: tuple[Verdict, ...] = ()
    plan, refused = None, None
    try:
        Discover(config).work(Facts())
        verdicts = validate.examine(discovery)
        plan = validate.judge(discovery, verdicts)
    except ZosstorageError as error:
        refused = error
    outlook = Outlook(discovery, verdicts + validate.examine_rejected(discovery), plan, refused)
    _print(json.dumps(outlook.as_json(), indent=2) + "\n" if options.json else outlook.as_text())
    if refused:
        raise refused
    return int(ExitCode.OK)


def _status(options: CliOptions) -> int:
    from zosstorage import checkpoint
    from zosstorage.output import plan
    from zosstorage.plain import plain

    path = _checkpoint_path(_load(options))
    try:
        found = checkpoint.load(path)
    except (ValueError, OSError) as error:
        raise checkpoint.unusable(path, error) from error
    if options.json:
        _print(json.dumps(plain(found or checkpoint.Checkpoint()), indent=2) + "\n")
    else:
        _print(plan.status_text(found))
    return int(ExitCode.OK)


def _reset(options: CliOptions) -> int:
    import contextlib

    from zosstorage import checkpoint, witness
    from zosstorage.system import lock

    loaded = _load(options)
    path = _checkpoint_path(loaded)
    with lock.held(loaded.config.run_dir):
        with contextlib.suppress(OSError):  # it is of no use without this checkpoint
            path.with_name(witness.FILE).unlink()
        try:
            found = checkpoint.load(path)
        except (ValueError, OSError):  # damaged: all of it goes
            found = None
        if found and options.start:
            found.forget(options.start)
            checkpoint.save(path, found)
            return int(ExitCode.OK)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise checkpoint.unusable(path, error) from error
    return int(ExitCode.OK)


def _graph(options: CliOptions) -> int:
    from zosstorage import machine

    _print(machine.graph(options.format).rstrip("\n") + "\n")
    return int(ExitCode.OK)


def _schema(options: CliOptions) -> int:
    from zosstorage.checkpoint import Checkpoint
    from zosstorage.config.schema import Config
    from zosstorage.output.jsonschema import json_schema
    from zosstorage.output.report import Report

    document = {"config": Config, "report": Report, "checkpoint": Checkpoint}[options.document]
    _print(json.dumps(json_schema(document, complete=document is not Config), indent=2) + "\n")
    return int(ExitCode.OK)


def _config(options: CliOptions) -> int:
    from zosstorage.config import show, sources

    if options.action == "check":
        _print(show.check(options.file))
    else:
        _print(show.show(sources.load(options), with_origins=options.origins))
    return int(ExitCode.OK)


def _help(_options: CliOptions) -> int:
    _print(cli.help_text())
    return int(ExitCode.OK)


def _version(_options: CliOptions) -> int:
    _print(f"zosstorage {__version__}\n")
    return int(ExitCode.OK)


_COMMANDS: dict[str, Callable[[CliOptions], int]] = {
    "run": _run,
    "step": _step,
    "plan": _plan,
    "status": _status,
    "reset": _reset,
    "graph": _graph,
    "schema": _schema,
    "config": _config,
    "help": _help,
    "version": _version,
}


if __name__ == "__main__":
    script()
