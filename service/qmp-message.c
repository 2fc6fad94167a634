/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Source of the shapes: QEMU's docs/interop/qmp-spec.
 */
#include "qmp-message.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>

/* Takes value, also on failure. */
static int add_member(json_object *o, const char *key, json_object *value)
{
    if (!value)
        return -ENOMEM;

    if (json_object_object_add(o, key, value) < 0) {
        json_object_put(value);
        return -ENOMEM;
    }
    return 0;
}

int qmp_message_new_command(const char *command, json_object *args, uint64_t id, json_object **ret)
{
    _cleanup_(json_object_putp) json_object *message = json_object_new_object();
    if (!message)
        return -ENOMEM;

    assert(id <= INT64_MAX);

    int r = add_member(message, "execute", json_object_new_string(command));
    if (r == 0 && args)
        r = add_member(message, "arguments", json_object_get(args));
    if (r == 0)
        r = add_member(message, "id", json_object_new_int64((int64_t)id));
    if (r < 0)
        return r;

    *ret = TAKE_PTR(message);
    return 0;
}

static int get_number(json_object *o, const char *key, unsigned *ret)
{
    uint64_t number;
    int r = json_get_uint64(o, key, &number);
    if (r < 0)
        return r;
    if (number > UINT_MAX)
        return -EBADMSG;

    *ret = (unsigned)number;
    return 0;
}

int qmp_message_parse_version(json_object *version, QmpGreeting *ret)
{
    QmpGreeting greeting;
    json_object *numbers;

    int r = json_get_object(version, "qemu", &numbers);
    if (r < 0)
        return r;
    r = get_number(numbers, "major", &greeting.major);
    if (r < 0)
        return r;
    r = get_number(numbers, "minor", &greeting.minor);
    if (r < 0)
        return r;
    r = get_number(numbers, "micro", &greeting.micro);
    if (r < 0)
        return r;
    r = json_get_string_or(version, "package", "", &greeting.package);
    if (r < 0)
        return r;

    *ret = greeting;
    return 0;
}

int qmp_message_parse_greeting(json_object *message, QmpGreeting *ret)
{
    json_object *greeting, *version;

    int r = json_get_object(message, "QMP", &greeting);
    if (r < 0)
        return r;
    r = json_get_object(greeting, "version", &version);
    if (r < 0)
        return r;
    return qmp_message_parse_version(version, ret);
}

QmpReply qmp_message_parse_reply(json_object *message)
{
    QmpReply reply = {.error_class = "", .error_text = ""};
    json_object *error = NULL;
    bool has_value = json_object_object_get_ex(message, "return", &reply.value);
    int r = json_get_object(message, "error", &error);

    if (has_value && r == -ENODATA)
        return reply;

    if (!has_value && r == 0) {
        r = json_get_string(error, "class", &reply.error_class);
        if (r == 0)
            r = json_get_string(error, "desc", &reply.error_text);
        if (r == 0) {
            reply.error = -EREMOTEIO;
            return reply;
        }
    }

    return (QmpReply){
        .error = -EBADMSG,
        .error_class = "",
        .error_text = "The answer is no valid QMP reply",
    };
}
