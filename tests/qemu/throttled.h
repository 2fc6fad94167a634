/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What QEMU throttles the device of a disk to, as text: for tests of a guest that is slowed down,
 * which compare it with what it was.
 */
#pragma once

#include "qemu.h"

/* disk: the id of a virtio-blk device. The caller frees. */
char *throttled_to(Qemu *vm, const char *disk);
/* Until they are these; until they are others. */
void throttled_wait(Qemu *vm, const char *disk, const char *limits);
void throttled_wait_other(Qemu *vm, const char *disk, const char *limits);
