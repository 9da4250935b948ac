/* From what a person has (a .py file, a folder, a .zip) to what Lambda takes (a zip, a handler, a name). */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define PACKAGE_MAX ((uint64_t)250 << 20) /* AWS Lambda Developer Guide, "Lambda quotas": deployment package */

/* The zip of a .py file, a folder or a .zip; err names what is wrong with it. */
int package_read(const char *path, struct buf *zip, struct err *err);
/* The zip of one file of this name ("index.py") and text. */
int package_inline(struct str text, const char *name, struct buf *zip, struct err *err);
/* A folder of one's own, malloc'd; NULL with err set. */
char *package_temp_dir(struct err *err);
/* A function name made from the path, malloc'd. */
char *package_name(const char *path, struct err *err);
/* The template of a folder (template.yaml, .yml, .json) or path itself when it is one, malloc'd; NULL: none. */
char *package_template(const char *path);
