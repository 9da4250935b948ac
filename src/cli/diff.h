/* What differs between two texts, line by line. Pure. */
#pragma once

#include "base/buf.h"

/* "- old" and "+ new" lines with up to three common ones around them, "  ..." where more are left out. False: they are
 * equal, and nothing was added. */
bool diff_lines(struct buf *b, struct str before, struct str after, bool colour);
