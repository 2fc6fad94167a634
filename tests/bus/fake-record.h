/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of images that a fake service has, and its answer to ListImages().
 */
#pragma once

#include <glib.h>
#include <systemd/sd-bus.h>

typedef struct FakeRecord FakeRecord;

FakeRecord *fake_record_new(void);
void fake_record_free(FakeRecord *r);

/* use_instead is NULL for none. */
void fake_record_add(FakeRecord *r, const char *image, const char *vm, const char *disk,
                     const char *state, const char *use_instead);
void fake_record_answer(const FakeRecord *r, sd_bus_message *call);
