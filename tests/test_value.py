import attrs
import pytest
from support import config, disk, facts

from zosstorage.value import Value


def test_it_shows_itself_as_attrs_would():
    @attrs.frozen
    class Shown:
        a: int
        b: str = "x"

    @attrs.frozen(repr=False)
    class Quick(Value):
        a: int
        b: str = "x"

    assert repr(Quick(1)) == repr(Shown(1)).replace("Shown", "Quick")


@pytest.mark.parametrize("value", [disk(), facts(), config()], ids=lambda value: type(value).__name__)
def test_what_it_shows_is_all_of_it(value):
    shown = repr(value)
    assert shown.startswith(f"{type(value).__name__}(")
    assert all(f"{field.name}=" in shown for field in attrs.fields(type(value)))
    assert not hasattr(value, "__dict__")
