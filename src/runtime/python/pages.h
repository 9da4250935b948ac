/* The memory that every fork of a zygote copies the map of. */
#pragma once

void pages_settle(void); /* after everything has been loaded */
