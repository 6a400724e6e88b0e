"""importlib.metadata as far as the frozen libraries ask: which version one is of. The build adds the versions."""

VERSIONS: dict[str, str] = {}


class PackageNotFoundError(ModuleNotFoundError):
    """No library of that name is frozen in."""


def version(distribution_name: str) -> str:
    """The version of a library.

    Raises:
        PackageNotFoundError: it is not among those frozen in.
    """
    try:
        return VERSIONS[distribution_name]
    except KeyError:
        raise PackageNotFoundError(distribution_name) from None
