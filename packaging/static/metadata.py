"""The part of importlib.metadata that the frozen libraries use: versions of libraries. The build appends them."""

VERSIONS: dict[str, str] = {}


class PackageNotFoundError(ModuleNotFoundError):
    """The program contains no library of that name."""


def version(distribution_name: str) -> str:
    """Return the version of a library.

    Raises:
        PackageNotFoundError: the program does not contain the library.
    """
    try:
        return VERSIONS[distribution_name]
    except KeyError:
        raise PackageNotFoundError(distribution_name) from None
