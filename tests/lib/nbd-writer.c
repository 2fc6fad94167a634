/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An NBD client that stamps blocks on an export, in a thread of its own.
 */
#include "nbd-writer.h"

#include <inttypes.h>
#include <libnbd.h>

#include "wait.h"

#define BLOCK 4096

struct NbdWriter {
    char *socket, *export_name;
    NbdWriterMode mode;
    StampLayout layout;
    GThread *thread;
    gint stop;         /* atomic */
    gint acknowledged; /* atomic */
    char *error;       /* of the thread; read after it was joined */
};

/* NULL with the error noted. */
static struct nbd_handle *writer_connect(NbdWriter *w)
{
    struct nbd_handle *nbd = nbd_create();

    g_assert_nonnull(nbd);
    if (nbd_set_export_name(nbd, w->export_name) == 0 && nbd_connect_unix(nbd, w->socket) == 0)
        return nbd;
    w->error = g_strdup(nbd_get_error());
    nbd_close(nbd);
    return NULL;
}

static bool write_stamp(NbdWriter *w, struct nbd_handle *nbd, uint32_t n)
{
    const uint32_t flags = w->mode == NBD_WRITER_FLUSH ? 0 : LIBNBD_CMD_FLAG_FUA;
    uint8_t block[BLOCK];

    stamp_fill(&w->layout, n, block);
    if (nbd_pwrite(nbd, block, sizeof(block), stamp_position(&w->layout, n), flags) == 0 &&
        (w->mode != NBD_WRITER_FLUSH || nbd_flush(nbd, 0) == 0)) {
        g_atomic_int_set(&w->acknowledged, (gint)n);
        return true;
    }
    w->error = g_strdup(nbd_get_error());
    return false;
}

static void disconnect(struct nbd_handle *nbd)
{
    nbd_shutdown(nbd, 0);
    nbd_close(nbd);
}

static gpointer write_for_ever(gpointer data)
{
    NbdWriter *w = data;
    struct nbd_handle *nbd = NULL;

    for (uint32_t n = 1; !g_atomic_int_get(&w->stop); n++) {
        if (!nbd)
            nbd = writer_connect(w);
        if (!nbd || !write_stamp(w, nbd, n))
            break;
        if (w->mode == NBD_WRITER_CONNECT) {
            disconnect(nbd);
            nbd = NULL;
        }
    }
    if (nbd)
        disconnect(nbd);
    return NULL;
}

NbdWriter *nbd_writer_start(const char *socket, const char *export_name, NbdWriterMode mode,
                            uint32_t writer, uint64_t offset, uint32_t slots)
{
    NbdWriter *w = g_new0(NbdWriter, 1);

    w->socket = g_strdup(socket);
    w->export_name = g_strdup(export_name);
    w->mode = mode;
    w->layout = (StampLayout){
        .writer = writer, .slots = slots, .offset = offset, .stride = BLOCK, .size = BLOCK};
    w->thread = g_thread_new("nbd-writer", write_for_ever, w);
    return w;
}

static void join(NbdWriter *w)
{
    g_atomic_int_set(&w->stop, 1);
    if (w->thread)
        g_thread_join(w->thread);
    w->thread = NULL;
}

void nbd_writer_free(NbdWriter *w)
{
    if (!w)
        return;
    join(w);
    g_free(w->socket);
    g_free(w->export_name);
    g_free(w->error);
    g_free(w);
}

uint32_t nbd_writer_acknowledged(NbdWriter *w)
{
    return (uint32_t)g_atomic_int_get(&w->acknowledged);
}

typedef struct Awaited {
    NbdWriter *writer;
    uint32_t n;
} Awaited;

static bool has_acknowledged(gpointer data)
{
    const Awaited *awaited = data;

    return nbd_writer_acknowledged(awaited->writer) >= awaited->n;
}

uint32_t nbd_writer_wait_more(NbdWriter *w, uint32_t more)
{
    Awaited awaited = {w, nbd_writer_acknowledged(w) + more};

    wait_until("a write of the NBD client", has_acknowledged, &awaited);
    return nbd_writer_acknowledged(w);
}

void nbd_writer_stop(NbdWriter *w, bool server_may_end)
{
    join(w);
    if (w->error && !server_may_end)
        g_error("The NBD client, after write %" PRIu32 ": %s", nbd_writer_acknowledged(w),
                w->error);
}

StampLayout nbd_writer_layout(const NbdWriter *w)
{
    return w->layout;
}

void nbd_writer_check_nothing_lost(NbdWriter *w, const char *file, const char *format)
{
    const uint32_t acknowledged = nbd_writer_acknowledged(w);
    const uint32_t held = stamp_check_image(&w->layout, file, format);

    g_assert_null(w->thread);
    if (held != acknowledged && held != acknowledged + 1)
        g_error("%s: holds write %" PRIu32 " of NBD client %" PRIu32 ", but write %" PRIu32
                " was acknowledged",
                file, held, w->layout.writer, acknowledged);
}
