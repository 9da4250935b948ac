/* The inside of blobs as files, for src/store/blob_fs*.c only. */
#pragma once

#include "store/blob.h"

#include <pthread.h>

#define BLOB_ID_SIZE 32
#define TEMPORARY    ".tmp-" /* names of unfinished files, where files cannot be without one */

struct blobs {
	struct loop *loop;
	int dir, new;  /* DIR and DIR/new */
	bool unnamed;  /* O_TMPFILE works here */
	bool closed;   /* freed by the last job */
	unsigned jobs; /* on the pool */

	pthread_mutex_t lock; /* of the writers' wakes, and of the syncs of new/, numbered; one runs at a time */
	pthread_cond_t sync_over;
	uint64_t syncs_begun, syncs_ended, sync_failed; /* sync_failed: the last one that did */
	int sync_error;
};

struct blob_path {
	char text[BLOB_ID_SIZE + 8];
};

bool blob_id_valid(struct str id);
void blob_home(struct blob_path *p, struct str id);   /* xx/ID */
void blob_cradle(struct blob_path *p, struct str id); /* new/ID */

/* loop_work that keeps b; done must end with blob_job_ended. */
void blob_job(struct blobs *b, void (*work)(void *arg), void (*done)(void *arg), void *arg);
void blob_job_ended(struct blobs *b);

/* Every name in new/ that was given before the call is durable after it; shared by those who call at the same time. On
 * a pool thread. */
int blobs_sync_new(struct blobs *b);

/* A file on its way to become a blob. */
struct blob_file {
	int fd; /* -1: none */
	char id[BLOB_ID_SIZE + 1];
	bool named, whole;
};
int blob_file_new(struct blobs *b, struct blob_file *f);
int blob_file_publish(struct blobs *b, struct blob_file *f); /* its name, then durable */
void blob_file_close(struct blobs *b, struct blob_file *f);  /* one that is not whole leaves nothing */
