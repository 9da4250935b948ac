/* Unix sockets and the passing of file descriptors over them. Errors: negative errno. */
#pragma once

#include "base/str.h"
#include "base/err.h"

#define FDPASS_MAX 8

int unix_listen(const char *path, struct err *err);  /* replaces a stale socket; mode 0600; non-blocking */
int unix_connect(const char *path, struct err *err); /* non-blocking, close-on-exec */
int unix_pair(int ret[static 2]);                    /* stream, both ends non-blocking and close-on-exec */
/* Sends what fits with the fds attached to its first byte; returns bytes sent. */
ssize_t fd_send(int sock, const void *p, size_t n, const int *fds, size_t n_fds);
/* Receives bytes and up to FDPASS_MAX fds (close-on-exec, the caller's); *n_fds says how many. */
ssize_t fd_recv(int sock, void *p, size_t n, int fds[static FDPASS_MAX], size_t *n_fds);
