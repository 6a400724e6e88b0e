"""What is tried in Alpine, as data: which initramfs, which init, what is on the disk, and what is seen then."""

from __future__ import annotations

from dataclasses import dataclass

# Both stand on every command line: the root is a SATA disk, and the data disks are virtio.
WORDS = "root=/dev/sda rootfstype=ext4 modules=ext4,virtio_blk,sd_mod zosstorage.include=/dev/vd*"
HOOK = "rdinit=/usr/libexec/zosstorage/rdinit"
# In place of the root's init, where OpenRC is not what is tried: its boot takes ten seconds more.
LAB = "init=/lab/lab.sh"


@dataclass(frozen=True)
class Boot:
    """One boot.

    Attributes:
        image: of alpine_images.Images.
        words: of the kernel command line, besides WORDS.
        status: of the report; empty where none may be there.
    """

    image: str
    words: str
    status: str = ""


@dataclass(frozen=True)
class Provisioning:
    """Boots of one machine, one after the other; the first provisions and the others adopt."""

    name: str
    boots: tuple[Boot, ...]
    disks: int = 1
    topology: str = "single"


@dataclass(frozen=True)
class Failure:
    """A boot that zosstorage refuses.

    Attributes:
        says: what the console must say.
        root: whether the boot goes on into the root.
        stops: a line of the console at which the guest is ended, because it would wait for a person.
    """

    name: str
    boot: Boot
    says: tuple[str, ...]
    used: str = "ext4"
    root: bool = False
    stops: str = ""


PROVISIONED, ADOPTED = "provisioned", "already_provisioned"

PROVISIONINGS = (
    # The hook comes before the root is mounted, and what it mounted is carried there.
    Provisioning(
        "initramfs",
        (
            Boot("full", f"{HOOK} {LAB} rootflags=rw zosstorage.topology=btrfs_raid1", PROVISIONED),
            Boot("full", f"{HOOK} {LAB} rootflags=rw", ADOPTED),
        ),
        disks=2,
        topology="btrfs_raid1",
    ),
    # Alpine's own initramfs, and the service; then the hook with the service behind it, over a root that is read-only
    # when the hook runs.
    Provisioning(
        "openrc",
        (Boot("stock", "", PROVISIONED), Boot("full", HOOK, ADOPTED)),
    ),
)

_REFUSED = ("nothing was written: /dev/vda: a signature of ext4", "at byte 1080", "exit code 5")

FAILURES = (
    Failure("continue", Boot("full", f"{HOOK} {LAB} zosstorage.on_failure=continue"), _REFUSED, root=True),
    Failure("shell", Boot("full", f"{HOOK} {LAB} zosstorage.on_failure=shell"), _REFUSED, stops="starting a shell"),
    Failure(
        "reboot", Boot("full", f"{HOOK} {LAB} zosstorage.on_failure=reboot"), (*_REFUSED, "reboot: Restarting system")
    ),
    Failure(
        "poweroff", Boot("full", f"{HOOK} {LAB} zosstorage.on_failure=poweroff"), (*_REFUSED, "reboot: Power down")
    ),
    Failure(
        "policy-unknown",
        Boot("full", f"{HOOK} {LAB} zosstorage.on_failure=halt"),
        ("allowed: continue, shell, reboot, poweroff", "exit code 3", "unknown policy halt"),
        root=True,
    ),
    Failure(
        "tools-missing",
        Boot("bare", f"{HOOK} {LAB} zosstorage.on_failure=poweroff"),
        (
            "/sbin/blkid is an applet of busybox",
            "the tool wipefs was not found",
            "install the package blkid (Alpine)",
            "install the package wipefs (Alpine)",
            "exit code 6",
            "reboot: Power down",
        ),
        used="",
    ),
    Failure(
        "no-disk",
        Boot("full", f"{HOOK} {LAB} zosstorage.wait=2 zosstorage.set=devices.min_size=1TiB"),
        ("no eligible disk", "min_size", "exit code 4"),
        used="",
        root=True,
    ),
)
