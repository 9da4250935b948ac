/* pthread_atfork handlers around a clone that libc knows nothing of. */
#pragma once

void atfork_prepare(void);
void atfork_parent(void);
void atfork_child(void);
