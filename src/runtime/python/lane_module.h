/* The built-in module _wick_lane: frames between the interpreter and the lane. */
#pragma once

/* Takes over the lane's fd (moved out of the way of fds that programs expect to be free) and makes the module
 * known. Before the interpreter starts. Negative errno: fd is no socket. */
int lane_module_setup(int fd);
