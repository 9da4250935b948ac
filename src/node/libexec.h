/* Wick's own programs. */
#pragma once

/* Path of the program in the first of the folders (with ':' between) that has it; malloc'd. NULL: none has. */
char *libexec_find(const char *folders, const char *program);
