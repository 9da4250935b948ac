/* The inside of a lane, for src/link only: what both kinds have, and what each does its own way. */
#pragma once

#include "link/lane.h"

struct lane_ops {
	/* Sends the frame whose header and meta stand in ln->head. borrowed: body lives until it is answered; else it
	 * is copied where it cannot be sent at once. */
	void (*out)(struct lane *ln, enum frame_type type, const uint8_t id[static 16], struct str body, bool borrowed);
	bool (*full)(const struct lane *ln);
	bool (*unread)(const struct lane *ln, const uint8_t id[static 16]);
	void (*drain)(struct lane *ln);
	void (*pause)(struct lane *ln, bool on);
	struct buf (*keep)(struct lane *ln);
	void (*close)(struct lane *ln); /* gives everything back but its memory */
	void (*free)(struct lane *ln);  /* nobody uses it any more */
};

struct lane {
	const struct lane_ops *ops;
	const struct lane_handler *handler;
	void *arg;
	struct lane_waiters waiters;
	struct buf head; /* header and meta of what is being sent */
	unsigned busy;   /* calls that still use the lane */
	bool dead;       /* freed while busy */
	bool ended;
};

void lane_enter(struct lane *ln);
void lane_leave(struct lane *ln);
void lane_wake_waiters(struct lane *ln); /* as long as there is room */
