/* What builds with sanitizers need to know of boxes. */
#pragma once

/* In a box: the search for leaks at the end cannot be done there (it traces the process), and would end it. */
void sanitizer_boxed(void);
