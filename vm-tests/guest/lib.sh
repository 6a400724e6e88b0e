# What scenarios are written with. The shell prefers busybox's applets, so util-linux is called by its path.
# shellcheck shell=sh

echo # a line of its own for the first marker: the firmware leaves the cursor behind its last words

value() { echo "@@$1 $2"; }

uptime() { cut -d' ' -f1 /proc/uptime; }

text() { # name, file
    echo "@@begin $1"
    cat "$2"
    echo "@@finish $1"
}

# Run the program and say how it went.
provision() {
    echo "@@program starts"
    value boot "$(uptime)"
    began=$(uptime)
    zosstorage "$@" >/tmp/stdout 2>/tmp/log
    value rc $?
    value provision "$(awk "BEGIN { print $(uptime) - $began }")"
    text log /tmp/log
    value stdout-bytes "$(wc -c </tmp/stdout)"
    [ -e /run/zosstorage/state.json ] && text report /run/zosstorage/state.json
    text mountinfo /proc/self/mountinfo
}

# What other tools see: blkid of every partition, whether anything is still marked, the superblock of a bcachefs, and
# the label that the kernel has for each of its mounted members.
look() {
    for disk in /sys/block/vd* /sys/block/sd* /sys/block/nvme*; do
        [ -e "$disk" ] || continue
        name=/dev/${disk##*/}
        /usr/bin/sfdisk -J "$name" >"/tmp/sfdisk-${disk##*/}" 2>/dev/null && text "sfdisk-${disk##*/}" "/tmp/sfdisk-${disk##*/}"
        for part in "$disk"/*/partition; do
            [ -e "$part" ] || continue
            node=${part%/partition}
            node=/dev/${node##*/}
            /usr/bin/blkid -p -o export "$node" >/tmp/blkid
            text "blkid-${node##*/}" /tmp/blkid
            if grep -q '^TYPE=bcachefs' /tmp/blkid; then
                bcachefs show-super "$node" >/tmp/super
                text "super-${node##*/}" /tmp/super
            fi
        done
    done
    for member in /sys/fs/bcachefs/*/dev-*; do
        [ -e "$member/label" ] || continue
        node=$(readlink -f "$member/block")
        value "label-${node##*/}" "$(cat "$member/label")"
    done
}
