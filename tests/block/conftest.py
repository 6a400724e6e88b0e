from pathlib import Path

import pytest
from fakes import FakeTools
from support import GIB, image_disk, sparse

from zosstorage.model import Disk


@pytest.fixture
def probers(fake_tools: FakeTools) -> FakeTools:
    """Fake probers that see nothing, and the real sfdisk."""
    fake_tools("wipefs")
    fake_tools("blkid", status=2)
    fake_tools.real("sfdisk")
    return fake_tools


@pytest.fixture
def image(tmp_path: Path) -> Disk:
    """A disk whose node is an image file of 1 GiB of zeros."""
    return image_disk(sparse(tmp_path / "image", 1 * GIB))
