/* What kind of file somebody wants executed, by its first bytes: for an error that says what is wrong with it. Pure. */
#pragma once

#include "base/str.h"

#define EXECFILE_HEAD 4096u /* as many bytes as a look takes */

enum execfile_kind { EXECFILE_OTHER, EXECFILE_SCRIPT, EXECFILE_ELF };

struct execfile {
	enum execfile_kind kind;
	struct str interpreter; /* of #!, or the ELF's dynamic loader; n == 0: none, or beyond the bytes given */
	uint16_t machine;       /* EM_* */
	bool ours;              /* machine, class and byte order are this program's */
};

void execfile_look(struct execfile *ret, struct str head);
const char *execfile_machine_name(uint16_t machine); /* "aarch64"; NULL: not known */
const char *execfile_machine_here(void);
