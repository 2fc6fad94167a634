/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hand on a QEMU's second monitor for shell scripts:
 *
 *   qmp-tool SOCKET COMMAND [ARGUMENTS]
 *
 * runs one command, which has to succeed, and prints its value as JSON. ARGUMENTS is an object;
 * single quotes stand for double ones.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "qmp-client.h"

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpuint(g_strlcpy(address.sun_path, path, sizeof(address.sun_path)), <,
                     sizeof(address.sun_path));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        g_error("%s: %s", path, g_strerror(errno));
    return fd;
}

int main(int argc, char *argv[])
{
    g_autoptr(QmpClient) client = NULL;
    json_object *value;

    if (argc < 3 || argc > 4) {
        g_printerr("usage: qmp-tool SOCKET COMMAND [ARGUMENTS]\n");
        return 2;
    }
    client = qmp_client_new(connect_to(argv[1]));
    value = qmp_client_command(client, argv[2], "%s", argc > 3 ? argv[3] : "{}");
    g_print("%s\n", json_object_to_json_string(value));
    json_object_put(value);
    return 0;
}
