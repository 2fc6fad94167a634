/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Typed getters for JSON objects: presence, type, range and UTF-8 are checked, so that nothing that
 * a peer says is used unseen. They own nothing; strings are borrowed from the object.
 *
 * A required getter answers -ENODATA for a missing member and -EBADMSG for one of the wrong type or
 * range. The optional ones (…_or) answer 0 with the default for a missing member.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "cleanup.h"

DEFINE_CLEANUP(json_object, json_object_put)

int json_get_object(json_object *o, const char *key, json_object **ret);
int json_get_array(json_object *o, const char *key, json_object **ret);
/* Valid UTF-8 without embedded NUL. */
int json_get_string(json_object *o, const char *key, const char **ret);
int json_get_string_or(json_object *o, const char *key, const char *fallback, const char **ret);
/* A whole number from 0 to 2^63-1. */
int json_get_uint64(json_object *o, const char *key, uint64_t *ret);
int json_get_uint64_or(json_object *o, const char *key, uint64_t fallback, uint64_t *ret);
int json_get_bool(json_object *o, const char *key, bool *ret);
int json_get_bool_or(json_object *o, const char *key, bool fallback, bool *ret);
