import pytest
from support import config

from zosstorage.block.eligibility import Selection
from zosstorage.model import Firmware
from zosstorage.planning.discovery import selection


def test_what_the_configuration_says_about_disks_is_what_is_selected_by():
    settings = config(
        devices={"include": ["/dev/sd*"], "exclude": ["/dev/sdz"], "allow_removable": True, "min_size": "8GiB"},
        partitions={"esp_size": "300MiB"},
    )
    assert selection(settings) == Selection(("/dev/sd*",), ("/dev/sdz",), True, 8 << 30, 300 << 20)


@pytest.mark.parametrize(
    ("mode", "firmware"), [("auto", None), ("bios", Firmware.BIOS), ("uefi", Firmware.UEFI)], ids=str
)
def test_the_firmware_is_looked_for_unless_it_is_set(mode, firmware):
    assert selection(config(partitions={"firmware": mode})).firmware is firmware
