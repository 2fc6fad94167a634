/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disk images of a test: made and read with qemu-img, never by hand.
 */
#include "image.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

char *image_create(const char *dir, const char *name, const char *format, uint64_t size)
{
    g_autofree char *size_text = g_strdup_printf("%" PRIu64, size);
    char *file = g_build_filename(dir, name, NULL);

    g_free(process_run("qemu-img", "create", "-q", "-f", format, file, size_text, NULL));
    return file;
}

char *image_overlay(const char *dir, const char *name, const char *backing,
                    const char *backing_format, uint64_t size)
{
    g_autofree char *size_text = size > 0 ? g_strdup_printf("%" PRIu64, size) : NULL;
    char *file = g_build_filename(dir, name, NULL);

    /* Where the size is known the backing chain need not be opened for it: that takes its time when
     * the chain is long. */
    g_free(process_run("qemu-img", "create", size_text ? "-qu" : "-q", "-f", "qcow2", "-b", backing,
                       "-F", backing_format, file, size_text, NULL));
    return file;
}

char **image_chain(const char *dir, const char *name, const char *base_format, unsigned depth,
                   uint64_t size)
{
    char **files = g_new0(char *, depth + 1);

    for (unsigned i = 0; i < depth; i++) {
        g_autofree char *file = g_strdup_printf("%s.%u", name, i);

        if (i == 0)
            files[i] = image_create(dir, file, base_format, size);
        else
            files[i] = image_overlay(dir, file, files[i - 1], i == 1 ? base_format : "qcow2", 0);
    }
    return files;
}

void image_fill(const char *file, const char *format, uint8_t byte, uint64_t offset,
                uint64_t length)
{
    g_autofree char *command =
        g_strdup_printf("write -q -P %u %" PRIu64 " %" PRIu64, (unsigned)byte, offset, length);

    g_free(process_run("qemu-io", "-f", format, "-c", command, file, NULL));
}

uint8_t *image_read(const char *file, const char *format, uint64_t offset, size_t length)
{
    /* Always from the start: what `skip` means together with `count` is not the same everywhere. */
    const uint64_t end = offset + length, block = end % 65536 == 0 ? 65536 : 512;
    g_autofree char *copy = g_strdup_printf("%s.read-%d", file, (int)getpid());
    g_autofree char *input = g_strdup_printf("if=%s", file);
    g_autofree char *output = g_strdup_printf("of=%s", copy);
    g_autofree char *block_size = g_strdup_printf("bs=%" PRIu64, block);
    g_autofree char *count = g_strdup_printf("count=%" PRIu64, end / block);
    g_autofree char *data = NULL;
    g_autoptr(GError) error = NULL;
    size_t size;

    g_free(process_run("qemu-img", "dd", "-U", "-f", format, "-O", "raw", block_size, count, input,
                       output, NULL));
    g_file_get_contents(copy, &data, &size, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(size, ==, end);
    unlink(copy);
    return g_memdup2(data + offset, length);
}

void image_check_filled(const char *file, const char *format, uint8_t byte, uint64_t offset,
                        size_t length)
{
    g_autofree char *command =
        g_strdup_printf("read -q -P %u %" PRIu64 " %zu", (unsigned)byte, offset, length);

    g_free(process_run("qemu-io", "-U", "-r", "-f", format, "-c", command, file, NULL));
}

void image_check_same(const char *a, const char *a_format, const char *b, const char *b_format)
{
    g_free(
        process_run("qemu-img", "compare", "-U", "-q", "-f", a_format, "-F", b_format, a, b, NULL));
}

void image_check_clean(const char *file)
{
    g_free(process_run("qemu-img", "check", "-q", file, NULL));
}

char *image_backing_file(const char *file)
{
    g_autofree char *text = process_run("qemu-img", "info", "-U", "--output=json", file, NULL);
    json_object *info = json_tokener_parse(text), *backing = NULL;
    char *ret = NULL;

    g_assert_nonnull(info);
    if (json_object_object_get_ex(info, "backing-filename", &backing))
        ret = g_strdup(json_object_get_string(backing));
    json_object_put(info);
    return ret;
}
