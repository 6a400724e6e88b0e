import pytest
from support import GIB, image_disk, sparse


@pytest.fixture
def probers(fake_tools):
    """Probers that see nothing, and the real sfdisk."""
    fake_tools("wipefs")
    fake_tools("blkid", status=2)
    fake_tools.real("sfdisk")
    return fake_tools


@pytest.fixture
def image(tmp_path):
    """An image of 1 GiB of zeros, as a disk."""
    return image_disk(sparse(tmp_path / "image", 1 * GIB))
