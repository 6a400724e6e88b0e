"""The kernel command line: parameters with the kernel's quoting; those that begin with `zosstorage.` are ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import Factory, define

from zosstorage import text
from zosstorage.config.choices import OnFailure
from zosstorage.flags import FLAGS, HOOK_PARAMETERS, MAX_WAIT, OTHER_PARAMETERS, Flag, Kind, Setting, is_assignment

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "zosstorage."
SOURCE = "kernel command line"
# The values that the kernel's kstrtobool() accepts for module parameters.
_TRUE = frozenset({"1", "y", "yes", "t", "true", "on"})
_FALSE = frozenset({"0", "n", "no", "f", "false", "off"})
_SPACES = " \t\n\v\f\r"


@define
class Parameters:
    """The parameters for zosstorage on the kernel command line.

    Attributes:
        settings: the parameters that set a key, in their order.
        config: the YAML file named by `zosstorage.config=`.
        force: whether `zosstorage.force` is set.
        problems: one sentence for each parameter that cannot be used.
    """

    settings: list[Setting] = Factory(list)
    config: str | None = None
    force: bool = False
    problems: list[str] = Factory(list)


def read(line: str) -> Parameters:
    """Read the parameters before ` -- `; the rest is for init. This function raises no errors."""
    parameters = Parameters()
    for name, value in split(line.removesuffix("\n")):  # the newline of /proc/cmdline would end up in an open quote
        if name == "--" and value is None:
            break
        if name.startswith(PREFIX):
            _add(parameters, name.removeprefix(PREFIX), value)
    return parameters


def split(line: str) -> Iterator[tuple[str, str | None]]:
    """Yield name and value (None without `=`) of each parameter, like next_arg() in the kernel's lib/cmdline.c.

    A quote anywhere in a parameter protects spaces. Quotes are removed only around a whole parameter or a whole value.
    """
    for word in _split_quoted(line):
        body = word.removeprefix('"')
        name, equals, value = body.partition("=")
        if not equals or not name:
            yield (body if body == word else body.removesuffix('"')), None
        elif value.startswith('"'):
            yield name, value[1:].removesuffix('"')
        else:
            yield name, value if body == word else value.removesuffix('"')


def _split_quoted(line: str) -> Iterator[str]:
    word, quoted = [], False
    for char in line:
        quoted ^= char == '"'
        if char not in _SPACES or quoted:
            word.append(char)
        elif word:
            yield "".join(word)
            word.clear()
    if word:
        yield "".join(word)


def _add(parameters: Parameters, written: str, value: str | None) -> None:
    # Dashes and underscores are equivalent, as they are for the kernel in the names of module parameters.
    name = written.replace("-", "_")
    if name in FLAGS:
        _add_flag(parameters, name, FLAGS[name], value)
    elif name == "no_fstab":
        _add_switch(parameters, name, value)
    elif name == "force":
        parameters.force |= _parse_switch(parameters, name, value) is True
    elif name in OTHER_PARAMETERS:
        _add_other(parameters, name, value)
    elif name in HOOK_PARAMETERS:
        _check_hook_parameter(parameters, name, value)
    else:
        known = [*FLAGS, "no_fstab", *OTHER_PARAMETERS, *HOOK_PARAMETERS]
        _add_problem(
            parameters, written, f"is not a known parameter{text.nearest(name, known)}", f"known: {text.one_of(known)}"
        )


def _add_flag(parameters: Parameters, name: str, flag: Flag, value: str | None) -> None:
    if flag.kind is Kind.SWITCH:
        _add_switch(parameters, name, value)
    elif not value:
        _add_problem(parameters, name, "has no value", f"write {PREFIX}{name}={flag.metavar}")
    elif flag.kind is Kind.LIST:
        parameters.settings += [Setting(name, item) for item in value.split(",") if item]
    else:
        parameters.settings.append(Setting(name, value))


def _add_switch(parameters: Parameters, name: str, value: str | None) -> None:
    wanted = _parse_switch(parameters, name, value)
    if wanted is not None:
        parameters.settings.append(Setting("fstab", wanted is (name == "fstab")))


def _parse_switch(parameters: Parameters, name: str, value: str | None) -> bool | None:
    lower = "1" if value is None else value.lower()
    if lower in _TRUE or lower in _FALSE:
        return lower in _TRUE
    _add_problem(
        parameters, name, f"found {text.found(value)}", "allowed: no value, 1, yes, true, on, 0, no, false, off"
    )
    return None


def _add_other(parameters: Parameters, name: str, value: str | None) -> None:
    if not value or (name == "set" and not is_assignment(value)):
        _add_problem(parameters, name, "has no value", "write " + _example(name))
    elif name == "config":
        parameters.config = value
    else:
        parameters.settings.append(Setting("set", value))


def _example(name: str) -> str:
    return f"{PREFIX}config=PATH" if name == "config" else f"{PREFIX}set=KEY.PATH=VALUE"


def _check_hook_parameter(parameters: Parameters, name: str, value: str | None) -> None:
    if name == "on_failure" and value not in tuple(OnFailure):
        _add_problem(parameters, name, f"found {text.found(value)}", f"allowed: {text.one_of(OnFailure)}")
    # The hook is a shell script: no sign, and no leading zero, which would make the number octal.
    if name == "wait" and value not in {str(seconds) for seconds in range(MAX_WAIT + 1)}:
        _add_problem(parameters, name, f"found {text.found(value)}", f"allowed: whole seconds from 0 to {MAX_WAIT}")


def _add_problem(parameters: Parameters, name: str, wrong: str, allowed: str) -> None:
    parameters.problems.append(f"{SOURCE}: {PREFIX}{text.clean(name)} {wrong}; {allowed}")
