/* From what a person has (a .py file, a folder, a .zip) to what Lambda takes (a zip, a handler, a name). */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define PACKAGE_MAX ((uint64_t)250 << 20) /* AWS Lambda Developer Guide, "Lambda quotas": deployment package */

/* The zip of a .py file, a folder or a .zip; err names what is wrong with it. */
int package_read(const char *path, struct buf *zip, struct err *err);
/* The zip of one file index.py with this text. */
int package_inline(struct str text, struct buf *zip, struct err *err);
/* "module.function" as found in the code, malloc'd; NULL with err saying what was looked for. */
char *package_handler(const char *path, struct err *err);
/* A function name made from the path, malloc'd. */
char *package_name(const char *path, struct err *err);
/* The template of a folder (template.yaml, .yml, .json) or path itself when it is one, malloc'd; NULL: none. */
char *package_template(const char *path);
