"""One function for each command: options in, exit code out. This module also gives the states to the state machine."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from states.discover import Discover
from states.format import Format
from states.mount import Mount
from states.partition import Partition
from states.report import Report
from states.validate import Validate
from zosstorage import __version__, checkpoint, cli, machine
from zosstorage.block import emptiness
from zosstorage.checkpoint import Checkpoint
from zosstorage.config import load, show
from zosstorage.config.schema import Config
from zosstorage.converter import unstructure
from zosstorage.errors import ConfigError, ExitCode, NoDiskError, UsageError, ZosstorageError
from zosstorage.facts import STATES
from zosstorage.machine import Provisioner
from zosstorage.output import failure, layout, logs, outcome, plan, report, status, terminal
from zosstorage.output.events import Event
from zosstorage.output.jsonschema import json_schema
from zosstorage.planning import discovery
from zosstorage.planning.decide import decide
from zosstorage.planning.example import example
from zosstorage.planning.observe import observe, observe_rejected, require_machine
from zosstorage.system import lock, signals, streams
from zosstorage.system.running import LIMIT
from zosstorage.topologies import TOPOLOGIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zosstorage.config.load import Loaded
    from zosstorage.flags import CliOptions
    from zosstorage.model import Discovery, Verdict

log = logging.getLogger(__name__)

_DOCUMENTS: dict[str, type[Any]] = {
    "config": Config,
    "report": report.Report,
    "checkpoint": Checkpoint,
    "plan": plan.PlanDocument,
    "failure": failure.FailureDocument,
    "event": Event,
}


def call(options: CliOptions) -> int:
    """Run the command that the options name and return its exit code.

    Raises:
        ZosstorageError: the command failed.
    """
    return int(_COMMANDS[options.command](options))


def set_up_log(argv: Sequence[str]) -> bool:
    """Set up the log for an error of command line or configuration; return whether stderr, for text, still lacks it."""
    try:
        options = cli.parse(argv)
    except ZosstorageError:
        options = cli.log_flags(argv)
    return logs.set_up_for_error(load.usable(options).logging)


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


def _run(options: CliOptions) -> ExitCode:
    if options.implied and streams.has_terminal():
        with suppress(OSError):  # stderr is on a full disk
            streams.write_stderr(cli.help_text() + "\n")
        raise UsageError(
            "no command was named",
            hint="zosstorage plan shows what a run would do to the disks; zosstorage run does it",
        )
    return _provision(options, lambda provisioner: provisioner.run())


def _step(options: CliOptions) -> ExitCode:
    def step(provisioner: Provisioner) -> None:
        following = STATES[min(provisioner.skip, len(STATES) - 1)]
        until = options.until or following
        if STATES.index(until) < provisioner.skip:
            log.info("already done, and still holds", extra={"event": "state.skipped", "state": until})
        else:
            facts = provisioner.run(until)
            log.info("%s", outcome.text(until, facts), extra={"event": "step.end"})

    return _provision(options, step)


def _provision(options: CliOptions, work: Callable[[Provisioner], object]) -> ExitCode:
    """Carry out a run or a step while the lock is held; leave word of its failure, or remove that of an earlier one."""
    with ExitStack() as stack:
        try:
            loaded = _load(options)
            require_machine()
            log.info("zosstorage %s: %s begins", __version__, options.command, extra={"event": "run.begin"})
            stack.enter_context(lock.held(loaded.config.run_dir))
        except ConfigError as error:
            failure.record(error, load.usable(options).run_dir)
            raise
        stack.enter_context(signals.caught())
        _work(loaded, work)
    log.info("%s ended", options.command, extra={"event": "run.end", "exit_code": 0})
    return ExitCode.OK


def _work(loaded: Loaded, work: Callable[[Provisioner], object]) -> None:
    config, entered, found = loaded.config, None, None
    try:
        provisioner = _provisioner(loaded)
        try:
            work(provisioner)
            signals.check()
        finally:
            entered, found = provisioner.entered, provisioner.facts.discover
    except BaseException as error:
        failure.retire(config.report.path)
        failure.record(error, config.run_dir, state=entered, discovery=found)
        raise
    failure.forget(config.run_dir, config.report.path)
    logs.CONTEXT.clear()


def _plan(options: CliOptions) -> ExitCode:
    config = _load(options).config
    require_machine()
    found = Discover(config).find()
    shown, refused = _planned(found, config)
    streams.put(
        json.dumps(unstructure(shown), indent=2) + "\n"
        if options.json
        else plan.text(shown, every=options.all, verbose=options.verbose, colour=terminal.has_colour())
    )
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
        found = checkpoint.load(path)
    except (ValueError, OSError) as error:
        raise checkpoint.unusable(path, error) from error
    shown, summary = found or Checkpoint(), status.summary(found, checkpoint.boot_id())
    if options.json:
        streams.put(json.dumps(unstructure(shown), indent=2) + "\n")
        if found and found.boot_id != checkpoint.boot_id():
            log.warning("%s", summary, extra={"event": "status"})
    else:
        streams.put(f"{status.text(shown, colour=terminal.has_colour())}{summary}\n")
    return status.exit_code(found, checkpoint.boot_id())


def _verify(options: CliOptions) -> ExitCode:
    from zosstorage import verify  # noqa: PLC0415 - it imports sh and asyncio, which no other command uses
    from zosstorage.output import verification  # noqa: PLC0415 - likewise

    loaded = _load(options)
    require_machine()
    config = loaded.config
    promised = verify.promise(config.report.path, _checkpoint_path(loaded))
    if promised is None:
        if options.prometheus:
            streams.put(verification.prometheus(None))
        message = f"nothing was provisioned: there is no report {config.report.path}"
        raise NoDiskError(message, hint="zosstorage run provisions the machine; name another report with --report")
    found = verify.verify(promised, config.root, config.mounts.data_root, config.tools.timeout)
    if options.json:
        streams.put(json.dumps(unstructure(found), indent=2) + "\n")
    else:
        streams.put(verification.prometheus(found) if options.prometheus else verification.text(found))
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
            log.info("%s", machine.reset(found, options.start), extra={"event": "checkpoint.reset"})
            checkpoint.save(path, found)
            return ExitCode.OK
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise checkpoint.unusable(path, error) from error
    return ExitCode.OK


def _graph(options: CliOptions) -> ExitCode:
    row = TOPOLOGIES[options.layout] if options.layout else None
    text = layout.draw(example(row), row, options.format) if row else machine.graph(options.format)
    streams.put(text.rstrip("\n") + "\n")
    return ExitCode.OK


def schema_text(document: str) -> str:
    """Return the JSON Schema of a document in `cli.DOCUMENTS`, as `schema` prints it."""
    kind, identifier = _DOCUMENTS[document], f"urn:zosstorage:schema:{document}"
    complete, closed = kind not in (Config, Event), kind is not Event
    return json.dumps(json_schema(kind, complete=complete, closed=closed, identifier=identifier), indent=2) + "\n"


def _schema(options: CliOptions) -> ExitCode:
    streams.put(schema_text(options.document))
    return ExitCode.OK


def _config(options: CliOptions) -> ExitCode:
    if options.action == "check":
        streams.put(show.check(options.file))
    else:
        streams.put(show.show(load.load(options), with_origins=options.origins))
    return ExitCode.OK


def _help(options: CliOptions) -> ExitCode:
    streams.put(cli.help_text(options.topic))
    return ExitCode.OK


def _version(_options: CliOptions) -> ExitCode:
    streams.put(f"zosstorage {__version__}\n")
    return ExitCode.OK


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
