/* Zip packages, by libarchive (the only user). Guarded against bombs, absolute and .. paths, links that lead
 * out, devices and duplicate names; a refused package gets an err that names the entry. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct archive_limits {
	uint64_t max_bytes; /* sum of unpacked sizes */
	uint64_t max_files;
};

struct archive_totals {
	uint64_t bytes, files;
};

/* Reads the whole archive, checks every entry and its CRC, writes nothing. */
int archive_check(struct str zip, const struct archive_limits *lim, struct archive_totals *ret, struct err *err);
/* Unpacks into dir (which must exist and be empty): files 0644 or 0755, folders 0755. */
int archive_unpack_fd(int fd, const char *dir, const struct archive_limits *lim, struct err *err);
/* Packs a folder (recursively, sorted, fixed times, so that equal input gives equal bytes) or one file.
 * Leaves out .git, __pycache__ and *.pyc. max_bytes bounds the package, not what is packed. */
int archive_pack(const char *path, uint64_t max_bytes, struct buf *ret, struct err *err);
