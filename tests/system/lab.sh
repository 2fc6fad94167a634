# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A VM for experiments, in the container: the disk "vda" on base.qcow2 ← middle.qcow2 ← top.qcow2, on which the
# 512-byte guest writes without pause. The base takes 1 MiB a second, so that a commit of the data in the
# middle goes on for a minute, until lab_release. Sourced after suite.sh.
#
# Each has a name and a directory of its own; what the ledger knows of one means nothing to the next.

lab=''      # its name
lab_files='' # its directory, as the container sees it

lab_qmp() { "$build/tests/lib/qmp-tool" "$container_root$lab_files/qmp" "$@"; }
lab_guest() { "$build/tests/lib/guest-tool" "$1" "$container_root$lab_files" guest "${@:2}"; }

# lab_limit BYTES: what the base takes a second; 0: as much as it can.
lab_limit() {
    lab_qmp qom-set "{'path': '/objects/slow', 'property': 'limits', 'value': {'bps-write': $1}}"
}
lab_release() { lab_limit 0; }
# Less than the guest writes anew: a job that has to catch up with it never does. The first write or two
# still pass at once.
lab_crawl() {
    lab_limit 65536
    lab_guest wait 300
}

lab_prepare() {
    install -t "$container_root/usr/bin" "$build/tests/lib/guest-tool"
    unit lab@.service <<END
[Service]
User=vm
SupplementaryGroups=vmdisk
WorkingDirectory=$images/%i
ExecStart=/usr/bin/qemu-system-x86_64 -machine pc,accel=tcg -m 16 -nodefaults -display none \\
    -object throttle-group,id=slow,x-bps-write=1048576 -name %i \\
    -drive if=none,id=boot,format=raw,file=guest.boot \\
    -device ide-hd,drive=boot,id=boot,bus=ide.0,bootindex=0 \\
    -blockdev driver=qcow2,node-name=base,read-only=on,file.driver=throttle,file.throttle-group=slow,file.file.driver=file,file.file.filename=$images/%i/base.qcow2 \\
    -blockdev driver=qcow2,node-name=middle,read-only=on,file.driver=file,file.filename=$images/%i/middle.qcow2,backing=base \\
    -blockdev driver=qcow2,node-name=top,file.driver=file,file.filename=$images/%i/top.qcow2,backing=middle \\
    -device virtio-blk-pci,id=vda,drive=top,bootindex=1,write-cache=off -serial file:guest.serial \\
    -chardev socket,id=qmp,path=qmp,server=on,wait=off -mon chardev=qmp,mode=control \\
    $(dial_in_options)
END
    inside systemctl daemon-reload
}

# lab_up NAME: the guest writes, and the disk is on the bus.
lab_up() {
    lab=$1
    lab_files=$images/$1
    vm=/org/vmdisk1/vm/$1
    disk=$vm/vda
    mkdir "$container_root$lab_files"
    lab_guest boot
    (cd "$container_root$lab_files" &&
        qemu-img create -q -f qcow2 base.qcow2 128M &&
        qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2 &&
        qemu-io -c 'write -q -P 0xa5 32M 64M' middle.qcow2 &&
        qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2)
    inside chown -R vm:vm "$lab_files"
    inside systemctl start "lab@$lab.service"
    eventually disk_is_there
    lab_guest wait 1
}

# lab_check_end IMAGE [BACKING]: the guest still writes. Its QEMU is killed; the record names that image, and it
# holds every acknowledged write. BACKING: what it lies on now.
lab_check_end() {
    local image
    lab_guest wait 10
    inside systemctl kill -s KILL "lab@$lab.service"
    eventually vm_is_gone
    image=$(inside vmdiskctl boot-image "$lab/vda")
    [[ $image = */"$1" ]] || { echo "The image to boot is $image, not $1"; return 1; }
    # QEMU has written "json:" and its throttle group there, which qemu-img does not have.
    [ -z "${2-}" ] || inside qemu-img rebase -q -u -F qcow2 -b "$2" "$lab_files/$1"
    inside guest-tool final "$lab_files" guest "$lab_files/$1" qcow2
    inside qemu-io -c 'read -q -P 0xa5 32M 64M' "$lab_files/$1"
}

# All of them.
lab_down() {
    inside systemctl stop 'lab@*.service'
    rm -rf "${container_root:?}$images"/*
}
