"""The matrix as data: disks, firmware, configuration, and what is expected of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Disk:
    """A disk of 40 GiB, sparse; `used` is how it is used before the first boot (a key of conftest.USES)."""

    kind: str = "virtio"  # virtio | nvme | sata | usb
    role: str = "data"
    sector_size: int = 512
    rotation_rate: int = 7200
    used: str = ""

    @property
    def is_target(self) -> bool:
        return self.role != "unused"


@dataclass(frozen=True)
class Scenario:
    """A machine and what the program makes of it.

    Attributes:
        words: of the kernel command line.
        arguments: of the program.
        config: a YAML file at /config.yaml in the guest.
        code: the exit code of the first boot; other than 0 ends the scenario there, with every image unchanged.
        says: what the program's log must contain when it refuses.
        shows: mount options of the subvolumes that the kernel has to confirm.
        static: boot the static file that is shipped, without any Python, in place of the wheel.
        lose: disks, each of which is missing from one further boot, which must be refused with exit code 5.
        degraded: after each loss, mount what is left by hand, degraded, and find the marker.
    """

    name: str
    disks: tuple[Disk, ...]
    topology: str = ""
    fstype: str = "btrfs"
    kernel: str = "cloud"
    uefi: bool = False
    udev: bool = False
    bcachefs: bool = True
    words: str = ""
    arguments: str = ""
    config: str = ""
    code: int = 0
    says: tuple[str, ...] = field(default=())
    shows: tuple[str, ...] = field(default=())
    static: bool = False
    lose: tuple[int, ...] = ()
    degraded: bool = False


_CACHE_AND_BACKING = "zosstorage.set=topology.cache=[/dev/vda]"
_TIERED = (Disk(role="cache"), Disk(role="backing"))

MATRIX = (
    Scenario("single-bios", (Disk(),), "single", static=True),
    Scenario("single-uefi", (Disk(),), "single", uefi=True),
    Scenario("single-4096", (Disk(sector_size=4096),), "single"),
    Scenario("dual-virtio", (Disk(), Disk()), "dual_independent", static=True),
    Scenario(
        "raid1-virtio",
        (Disk(), Disk()),
        "btrfs_raid1",
        words="zosstorage.topology=btrfs_raid1",
        static=True,
        lose=(0, 1),
        degraded=True,
    ),
    Scenario(
        "bcachefs-single",
        (Disk(),),
        "bcachefs_single",
        "bcachefs",
        words="zosstorage.topology=bcachefs_single",
        static=True,
    ),
    Scenario(
        "tiered-virtio",
        _TIERED,
        "ssd_hdd_bcachefs",
        "bcachefs",
        words=f"zosstorage.topology=ssd_hdd_bcachefs {_CACHE_AND_BACKING} zosstorage.set=topology.backing=[/dev/vdb]",
        static=True,
    ),
    Scenario(
        "2copy-virtio",
        (Disk(role="cache"), Disk(role="backing"), Disk(role="backing")),
        "bcachefs_2copy",
        "bcachefs",
        words=f"zosstorage.topology=bcachefs_2copy {_CACHE_AND_BACKING}",
        static=True,
        lose=(0, 2),
        degraded=True,
    ),
    Scenario("dual-nvme", (Disk("nvme"), Disk("nvme")), "dual_independent"),
    Scenario(
        "tiered-nvme-sata",
        (Disk("nvme", "cache"), Disk("sata", "backing")),
        "ssd_hdd_bcachefs",
        "bcachefs",
        kernel="generic",
    ),
    Scenario("sata-and-usb", (Disk("sata"), Disk("usb", "unused")), "single", kernel="generic"),
    Scenario(
        "configured",
        (Disk(), Disk()),
        "btrfs_raid1",
        words="zosstorage.config=/config.yaml zosstorage.log_level=warn zosstorage.fstab",
        config="version: 1\ntopology: {mode: btrfs_raid1}\nfilesystems: {btrfs: {compression: 'zstd:3'}}\n",
        shows=("compress=zstd:3",),
    ),
    Scenario(
        "tiered-udev",
        _TIERED,
        "ssd_hdd_bcachefs",
        "bcachefs",
        udev=True,
        words=f"zosstorage.topology=ssd_hdd_bcachefs {_CACHE_AND_BACKING}",
    ),
    Scenario("refuse-used", (Disk(), Disk(used="ext4")), code=5, says=("/dev/vdb", "1080", "ext4")),
    Scenario("refuse-none", (), code=4, says=("no eligible disk",)),
    Scenario(
        "refuse-no-bcachefs",
        (Disk(),),
        bcachefs=False,
        words="zosstorage.topology=bcachefs_single",
        code=6,
        says=("this kernel has no bcachefs",),
    ),
)


@dataclass(frozen=True)
class Provisioning:
    """What is cut short, and whose writes are replayed."""

    name: str
    disks: int
    topology: str
    fstype: str = "btrfs"
    cache: bool = False  # the first disk is one

    @property
    def words(self) -> str:
        return f"zosstorage.topology={self.topology} {_CACHE_AND_BACKING if self.cache else ''}".strip()


PROVISIONINGS = (
    Provisioning("single", 1, "single"),
    Provisioning("dual", 2, "dual_independent"),
    Provisioning("raid1", 2, "btrfs_raid1"),
    Provisioning("bcachefs", 1, "bcachefs_single", "bcachefs"),
    Provisioning("tiered", 2, "ssd_hdd_bcachefs", "bcachefs", cache=True),
    Provisioning("2copy", 3, "bcachefs_2copy", "bcachefs", cache=True),
)
