/* Becoming an MPS daemon. */
#pragma once

/* In a mount namespace of its own, FOLDER/shm becomes /dev/shm; then PROGRAM -f takes over this process. Returns only
 * when that failed, with an exit status, after saying why. */
int mps_start(const char *folder, const char *program);
