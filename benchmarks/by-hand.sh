#!/bin/sh
# What zosstorage makes, by the same tools one after the other, and nothing else: no look at what the disks hold, no
# mark, nothing read back, nothing reported. For the benchmark only: it overwrites its disks without a question.
#
# by-hand.sh sfdisk|no-sleep|repart ROOT DISK…
set -eu
how=$1 root=$2
shift 2

definitions=$(dirname "$0")/repart.d
table='label: gpt
first-lba: 2048
size=1MiB, type=21686148-6449-6E6F-744E-656564454649, name=zosboot
size=512MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=zosboot
type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=zosdata'

# partx: this kernel may have no GPT parser, and then whoever writes a table has to tell it the partitions.
provision() {
    case $how in
    repart)
        "${REPART:-systemd-repart}" --dry-run=no --empty=require --seed=random --definitions="$definitions" --no-pager --no-legend "$1"
        partx --update "$1"
        ;;
    sfdisk | no-sleep)
        if [ "$how" = sfdisk ]; then
            echo "$table" | sfdisk --quiet "$1"
        else
            echo "$table" | sfdisk --quiet --no-tell-kernel --no-reread "$1"
        fi
        partx --update "$1"
        mkfs.fat -F 32 -n ZOSBOOT "${1}p2"
        mkfs.btrfs -q -L ZOSDATA "${1}p3"
        ;;
    esac
    top=$root/var/mounts/${1##*/}
    mkdir -p "$top"
    mount -t btrfs -o subvolid=5,noatime "${1}p3" "$top"
}

for disk; do
    provision "$disk"
done
for name in system etc modules vm-meta; do
    btrfs subvolume create "$root/var/mounts/${1##*/}/$name"
done
sync -f "$root/var/mounts/${1##*/}"
for name in system etc modules vm-meta; do
    mkdir -p "$root/var/cache/$name"
    mount -t btrfs -o "subvol=$name,noatime" "${1}p3" "$root/var/cache/$name"
done
