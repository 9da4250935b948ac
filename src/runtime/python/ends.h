/* How a process ends by a signal when it is the first of its pid namespace. */
#pragma once

void ends_setup(void); /* after the interpreter has set its own handlers */
