/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peer is the process at the other end of a monitor's socket, as the kernel and systemd know it.
 * What QEMU says of itself is not asked here.
 */
#pragma once

#include <sys/types.h>

typedef struct Peer {
    pid_t pid;      /* 0 where the kernel knows none */
    uid_t uid;      /* (uid_t)-1 likewise */
    char *unit;     /* systemd unit, "" for none */
    char *instance; /* the same for each connection to one process, different for each process */
} Peer;

/* 0 or -ENOMEM; what is not known stays empty. */
int peer_init(Peer *p, int fd);
void peer_done(Peer *p);

/* A name for a VM without one: the instance or name of the unit where it is a service of the
 * system, else qemu-PID. The caller frees; NULL without memory. */
char *peer_make_name(const Peer *p);
