/* The built-in module _wick_lane: frames between the interpreter and the lane. */
#pragma once

/* Before the interpreter starts: makes the module known. Negative errno. */
int lane_module_setup(void);
/* Takes over the lane's fd (moved out of the way of fds that programs expect to be free). Also in a process whose
 * parent had a lane: that one's is closed. Negative errno: fd is no socket. */
int lane_open(int fd);
