/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading properties of the service's objects through a recorder.
 */
#pragma once

#include "recorder.h"

/* The object has the interface, now. */
bool property_exists(Recorder *r, const char *path, const char *interface);
/* The caller frees it. */
char *property_string(Recorder *r, const char *path, const char *interface, const char *name);
uint32_t property_u32(Recorder *r, const char *path, const char *interface, const char *name);
uint64_t property_u64(Recorder *r, const char *path, const char *interface, const char *name);
bool property_bool(Recorder *r, const char *path, const char *interface, const char *name);

/* Member of Disk.Chain[index], a string; NULL where the image has no such member. */
char *property_chain_string(Recorder *r, const char *disk, unsigned index, const char *key);
/* Member of Disk.LastJob, a string; NULL where there is none. */
char *property_last_job(Recorder *r, const char *disk, const char *key);

/* Reads the property until it has that value. */
void property_wait_string(Recorder *r, const char *path, const char *interface, const char *name,
                          const char *value);
void property_check_string(Recorder *r, const char *path, const char *interface, const char *name,
                           const char *value);
