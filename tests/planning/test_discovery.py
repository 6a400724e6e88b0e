"""What the configuration says about disks."""

import pytest
from support import config

from zosstorage.block.eligibility import Selection
from zosstorage.model import Firmware
from zosstorage.planning.discovery import selection


def test_the_selection_follows_from_the_configuration() -> None:
    settings = config(
        devices={"include": ["/dev/sd*"], "exclude": ["/dev/sdz"], "allow_removable": True, "min_size": "8GiB"},
        partitions={"esp_size": "300MiB"},
    )
    assert selection(settings) == Selection(("/dev/sd*",), ("/dev/sdz",), True, 8 << 30, 300 << 20)


@pytest.mark.parametrize(
    ("mode", "firmware"), [("auto", None), ("bios", Firmware.BIOS), ("uefi", Firmware.UEFI)], ids=str
)
def test_the_firmware_is_detected_unless_it_is_configured(mode: str, firmware: Firmware | None) -> None:
    assert selection(config(partitions={"firmware": mode})).firmware is firmware
