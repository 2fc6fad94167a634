# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the tests of the installed service have in common: the container with the service in it, words for
# asking the service and its unit, and TAP. Sourced; the arguments of the script are BUILD-DIRECTORY BUS.
#
# The tests are functions that check() calls, which shellcheck does not see.
# shellcheck disable=SC2001,SC2317

build=$1
bus=$2
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/system/container.sh
. "$here/container.sh"

export VMDISK_TEST_GUEST=$build/tests/lib/guest.bin
images=/var/lib/vm       # in the container
vm=/org/vmdisk1/vm/web1  # the VM that is asked
disk=$vm/vda
disk_interface=org.vmdisk1.Disk

skip_all() {
    echo "1..0 # SKIP $*"
    exit 0
}

skip_where_impossible() {
    local obstacle
    obstacle=$(container_obstacle)
    [ -z "$obstacle" ] || skip_all "$obstacle"
    [ -e "/lib/systemd/system/$bus.service" ] || [ "$bus" = dbus-daemon ] ||
        skip_all "$bus is not there"
    [ "$(meson introspect --buildoptions "$build" | grep -o '"name": "prefix", "value": "[^"]*"')" = \
        '"name": "prefix", "value": "/usr"' ] ||
        skip_all "the build is not configured with --prefix=/usr"
}

# --- the service --------------------------------------------------------------------------------

# For root.
property() { inside busctl get-property org.vmdisk1 "$@"; }
disk_property() { property "$disk" "$disk_interface" "$1"; }
call() { inside busctl call org.vmdisk1 "$disk" "$disk_interface" "$@" >/dev/null; }
has_property() { [ "$(property "$1" "$2" "$3" 2>/dev/null)" = "$4" ]; }
disk_has() { has_property "$disk" "$disk_interface" "$1" "$2"; }
# has_ended RESULT
has_ended() {
    eventually disk_has JobState 's "none"'
    disk_property LastJob | grep -q "\"result\" s \"$1\""
}
disk_is_there() { property "$disk" "$disk_interface" Name; }
vm_is_gone() { ! property "$vm" org.vmdisk1.VM Name; }

service() { inside systemctl show -P "$1" vmdiskd.service; }
service_is() { [ "$(service ActiveState)" = "$1" ]; }
main_pid_is_not() { [ "$(service MainPID)" != "$1" ] && [ "$(service MainPID)" != 0 ]; }
kill_service() { inside systemctl kill -s "$1" --kill-who=main vmdiskd.service; }

# refused ERROR COMMAND...: gdbus shows the name of a D-Bus error.
refused() {
    local output
    if output=$("${@:2}" 2>&1); then
        echo "Not refused: ${*:2}"
        return 1
    fi
    grep -Eq "$1" <<<"$output" || { echo "$output"; return 1; }
}

# Warnings, beyond what systemd says of the service's death, and the service of a QEMU's and of a merged
# image, both of which tests bring about.
journal_is_quiet() {
    local warnings
    warnings=$(inside journalctl -q -p warning -u vmdiskd.service -o cat |
        grep -Ev 'Main process exited, code=killed|Failed with result|is gone: Connection reset|runs on an image that has been merged' || true)
    [ -z "$warnings" ] || { echo "$warnings"; return 1; }
}

# --- the virtual machines -----------------------------------------------------------------------

# Options by which a QEMU dials in; another spelling from 9.2 on.
dial_in_options() {
    local reconnect=reconnect-ms=1000
    qemu-system-x86_64 --version | grep -Eq 'version ([0-8]\.|9\.[01]\.)' && reconnect=reconnect=1
    echo "-chardev socket,id=vmdisk,path=/run/vmdisk/monitor,$reconnect -mon chardev=vmdisk,mode=control"
}

# unit NAME: one of the container's, from stdin.
unit() { cat >"$container_root/etc/systemd/system/$1"; }

install_service() {
    meson install -C "$build" --no-rebuild --quiet --destdir "$container_root"
    inside systemd-sysusers
    inside systemd-tmpfiles --create vmdisk.conf
    inside systemctl daemon-reload
    inside systemctl reload dbus
    inside systemctl enable -q --now vmdiskd.socket
    inside useradd -M alice
    inside useradd -M vm
    mkdir "$container_root$images"
}

# --- TAP ----------------------------------------------------------------------------------------

number=0
failed=0

# check DESCRIPTION COMMAND...
check() {
    local output status
    number=$((number + 1))
    # A function under "if" is not left at its first failure; a subshell of its own is.
    set +e
    output=$(set -e; "${@:2}" 2>&1)
    status=$?
    set -e
    if [ $status -eq 0 ]; then
        echo "ok $number - $1"
    else
        failed=1
        echo "not ok $number - $1"
        sed 's/^/# /' <<<"$output"
        inside journalctl -q --no-pager -n 20 -u vmdiskd.service 2>&1 | sed 's/^/# /'
    fi
}

# The container with the service in it; it goes with the script.
suite_begin() {
    skip_where_impossible
    trap container_stop EXIT
    if ! container_start "$bus"; then
        echo "Bail out! The container does not boot"
        sed 's/^/# /' "$container_dir/console"
        exit 1
    fi
    install_service >&2
}

suite_end() {
    echo "1..$number"
    exit $failed
}
