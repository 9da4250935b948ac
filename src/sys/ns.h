/* Namespaces: one clone into all of them, and the maps of users. Errors: negative errno. */
#pragma once

#include "base/util.h"

#include <sys/types.h>

/* A fork by the raw system call with these CLONE_NEW* flags (and CLONE_PARENT): 0 in the child. No atfork handlers are
 * run; libc's notion of the thread's id and its robust list are mended in the child. Single-threaded callers only. */
pid_t ns_clone(unsigned long flags, int *pidfd);
/* The caller goes into user and mount namespaces of its own; map it next. Single-threaded callers only. */
int ns_unshare_mounts(void);
int ns_unshare_net(void);
/* In the child of CLONE_NEWUSER: it is uid and gid there, and there are no others. outer_*: the effective ids it had
 * before the clone. */
int ns_map_self(uid_t uid, gid_t gid, uid_t outer_uid, gid_t outer_gid);
/* A limit of /proc/sys/user for the own user namespace, where it can be set. Before rights go. */
int ns_limit(const char *name, unsigned most);
int ns_loopback_up(void); /* lo of the net namespace */
