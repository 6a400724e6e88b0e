"""The only door: commands, the states wired into the machine, errors turned into exit codes."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage import __version__, cli
from zosstorage.errors import ConfigError, ExitCode, InterruptedRunError, UsageError, ZosstorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zosstorage.config.flags import CliOptions
    from zosstorage.config.sources import Loaded
    from zosstorage.facts import Verdict
    from zosstorage.machine import Provisioner

log = logging.getLogger("zosstorage")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    gc.disable()  # a run is short and what it makes stays: looking for garbage would find none, and costs a tenth of it
    try:
        options = cli.parse(sys.argv[1:] if argv is None else argv)
        return _COMMANDS[options.command](options)
    except InterruptedRunError as error:
        _tell(error)
        return 128 + error.number
    except KeyboardInterrupt:  # of a command that writes nothing, and leaves nothing behind
        return 128 + signal.SIGINT
    except ZosstorageError as error:
        _tell(error)
        return int(error.exit_code)
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
    except Exception as error:  # noqa: BLE001 - the last one: a defect ends in a sentence as well
        _tell_defect(error)
        return int(ExitCode.DEFECT)


def _tell(error: ZosstorageError | InterruptedRunError) -> None:
    """One sentence and a hint: through the log once it is set up, as plain text before."""
    problems = list(error.problems) if isinstance(error, ConfigError) else []
    if log.handlers:
        number = 128 + error.number if isinstance(error, InterruptedRunError) else int(error.exit_code)
        extra = {"hint": error.hint, "exit_code": number, **({"problems": problems} if problems else {})}
        log.error("%s", error.message, extra=extra)
        return
    lines = [f"zosstorage: {error.message}", *(f"  {problem}" for problem in problems)]
    lines += [f"hint: {error.hint}"] if error.hint else []
    sys.stderr.write("\n".join(lines) + "\n")


def _tell_defect(error: Exception) -> None:
    """A defect of ours is told in a line too: where it was, for the report; the log at level debug has the rest."""
    import traceback

    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    log.debug("traceback", exc_info=error)
    message = f"a defect of zosstorage {__version__} at {where}: {type(error).__name__}: {error}"
    _tell(ZosstorageError(message, hint="please report it with this line; nothing more was done"))


def _load(options: CliOptions) -> Loaded:
    from zosstorage import logs, tools
    from zosstorage.config import sources

    loaded = sources.load(options)
    logs.set_up(loaded.config.logging)
    tools.limit(loaded.config.tools.timeout)
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
    return Path(loaded.config.run_dir) / "checkpoint.json"


def _require_root() -> None:
    if os.geteuid() != 0:
        raise UsageError(
            "this command needs root", hint="run it as root; what it does to disks cannot be done otherwise"
        )


def _run(options: CliOptions) -> int:
    from zosstorage import interrupt, lock

    loaded = _load(options)
    _require_root()
    with lock.held(Path(loaded.config.run_dir)), interrupt.caught():
        _provisioner(loaded).run()
    return int(ExitCode.OK)


def _step(options: CliOptions) -> int:
    from zosstorage import interrupt, lock
    from zosstorage.checkpoint import STATES

    loaded = _load(options)
    _require_root()
    with lock.held(Path(loaded.config.run_dir)), interrupt.caught():
        provisioner = _provisioner(loaded)
        following = STATES[min(provisioner.skip, len(STATES) - 1)]
        until = options.until or following
        if STATES.index(until) < provisioner.skip:
            log.info("already done, and still holds", extra={"state": until})
        else:
            provisioner.run(until)
    return int(ExitCode.OK)


def _plan(options: CliOptions) -> int:
    from states.discover import Discover
    from states.validate import Validate
    from zosstorage.disks import sysfs
    from zosstorage.facts import Facts
    from zosstorage.show import Outlook

    config = _load(options).config
    _require_root()
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
    sys.stdout.write(json.dumps(outlook.as_json(), indent=2) + "\n" if options.json else outlook.as_text())
    if refused:
        raise refused
    return int(ExitCode.OK)


def _status(options: CliOptions) -> int:
    from zosstorage import checkpoint, show
    from zosstorage.plain import plain

    path = _checkpoint_path(_load(options))
    try:
        found = checkpoint.load(path)
    except (ValueError, OSError) as error:
        raise ZosstorageError(f"{path} cannot be read: {error}", hint="zosstorage reset forgets it") from error
    if options.json:
        sys.stdout.write(json.dumps(plain(found or checkpoint.Checkpoint()), indent=2) + "\n")
    else:
        sys.stdout.write(show.status_text(found))
    return int(ExitCode.OK)


def _reset(options: CliOptions) -> int:
    from zosstorage import checkpoint, lock

    loaded = _load(options)
    path = _checkpoint_path(loaded)
    with lock.held(Path(loaded.config.run_dir)):
        try:
            found = checkpoint.load(path)
        except (ValueError, OSError):  # damaged: all of it goes
            found = None
        if found and options.start:
            found.forget(options.start)
            checkpoint.save(path, found)
        else:
            path.unlink(missing_ok=True)
    return int(ExitCode.OK)


def _graph(options: CliOptions) -> int:
    from zosstorage import machine

    sys.stdout.write(machine.graph(options.format).rstrip("\n") + "\n")
    return int(ExitCode.OK)


def _schema(options: CliOptions) -> int:
    from zosstorage.checkpoint import Checkpoint
    from zosstorage.config.schema import Config
    from zosstorage.jsonschema import json_schema
    from zosstorage.report import Report

    document = {"config": Config, "report": Report, "checkpoint": Checkpoint}[options.document]
    sys.stdout.write(json.dumps(json_schema(document), indent=2) + "\n")
    return int(ExitCode.OK)


def _config(options: CliOptions) -> int:
    from zosstorage.config import show, sources

    if options.action == "check":
        sys.stdout.write(show.check(options.file))
    else:
        sys.stdout.write(show.show(sources.load(options), with_origins=options.origins))
    return int(ExitCode.OK)


def _help(_options: CliOptions) -> int:
    sys.stdout.write(cli.help_text())
    return int(ExitCode.OK)


def _version(_options: CliOptions) -> int:
    sys.stdout.write(f"zosstorage {__version__}\n")
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
    sys.exit(main())
