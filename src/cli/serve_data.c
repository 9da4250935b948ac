/* The data folder: made with rights for its owner only, locked so that one Wick works on it, with the root key and the
 * key that seals temporary keys. Owns the lock for as long as the supervisor lives; the kernel lets go of it when that
 * dies in any way. Fails with what is wrong with the folder. */
#include "cli/serve.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "wire/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ACCESS_KEY_RANDOM 16
#define SECRET_RANDOM     30 /* bytes: 40 characters of base64 */
#define MASTER_KEY_SIZE   32

/* nftw has no argument to hand on; the supervisor does this once, before its loop, in its only thread. */
static uid_t chown_uid;
static gid_t chown_gid;

static int chown_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return st->st_uid == chown_uid ? 0 : lchown(path, chown_uid, chown_gid);
}

static int hand_over(const char *path, const char *user, struct err *err)
{
	const struct passwd *pw = user && *user ? getpwnam(user) : NULL;
	struct stat st;

	if (!user || !*user || geteuid() != 0)
		return 0;
	if (!pw)
		return err_set(err, 0, "the user \"%s\" does not exist (setting `user`)", user);
	if (stat(path, &st) < 0)
		return err_set(err, errno, "data folder %s", path);
	chown_uid = pw->pw_uid;
	chown_gid = pw->pw_gid;
	if (st.st_uid != pw->pw_uid && nftw(path, chown_one, 16, FTW_PHYS) != 0)
		return err_set(err, errno, "data folder %s cannot be given to the user %s", path, user);
	return 0;
}

static int give_file(const char *path, const char *user)
{
	const struct passwd *pw = user && *user && geteuid() == 0 ? getpwnam(user) : NULL;

	return pw ? lchown(path, pw->pw_uid, pw->pw_gid) : 0;
}

static int make_folder(struct serve_data *d, const char *path, struct err *err)
{
	_cleanup_(freep) char *run = NULL;
	struct stat st;
	char *full;
	int r;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return err_set(err, 0, "data folder %s is not a folder: name another with --data DIR", path);
	r = mkdir_p(path, 0700);
	if (r < 0)
		return err_set(err, -r, "data folder %s cannot be made (another one: --data DIR)", path);
	full = realpath(path, NULL);
	if (!full)
		return err_set(err, errno, "data folder %s", path);
	d->path = full;
	if (access(full, R_OK | W_OK | X_OK) < 0)
		return err_set(err, errno, "data folder %s cannot be used (another one: --data DIR)", full);
	run = xasprintf("%s/run", full);
	r = mkdir_p(run, 0700);
	return r < 0 ? err_set(err, -r, "%s cannot be made", run) : 0;
}

static int lock_folder(struct serve_data *d, struct err *err)
{
	_cleanup_(freep) char *path = xasprintf("%s/lock", d->path);
	int owner = 0;

	d->lock = lock_file(path, &owner);
	if (d->lock == -EWOULDBLOCK)
		return err_set(err, 0, "wick is already running on %s (pid %d)", d->path, owner);
	return d->lock < 0 ? err_set(err, -d->lock, "%s cannot be locked", path) : 0;
}

static int write_secret(const char *path, struct str data, const char *user, struct err *err)
{
	int r = file_write(path, data, 0600);

	if (r == 0 && give_file(path, user) < 0)
		r = -errno;
	return r < 0 ? err_set(err, -r, "%s cannot be written", path) : 0;
}

/* The root key: as long and of the same letters as those of AWS, for programs that check. */
static int make_credentials(struct serve_data *d, const char *user, struct err *err)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	_cleanup_(freep) char *path = xasprintf("%s/credentials", d->path);
	_cleanup_(buf_done) struct buf secret = BUF_NULL, text = BUF_NULL;
	uint8_t random[ACCESS_KEY_RANDOM + SECRET_RANDOM];
	char id[ACCESS_KEY_RANDOM + 1] = "";
	struct stat st;
	int r;

	if (stat(path, &st) == 0)
		return 0;
	if (errno != ENOENT)
		return err_set(err, errno, "%s", path);
	random_bytes(random, sizeof(random));
	for (size_t i = 0; i < ACCESS_KEY_RANDOM; i++)
		id[i] = letters[random[i] % 32];
	base64_encode(&secret, random + ACCESS_KEY_RANDOM, SECRET_RANDOM);
	buf_reserve(&text, 256);
	buf_printf(&text, "[default]\naws_access_key_id = AKIA%s\naws_secret_access_key = %s\n", id, buf_cstr(&secret));
	r = write_secret(path, buf_str(&text), user, err);
	mem_wipe(random, sizeof(random));
	mem_wipe(secret.p, secret.n);
	mem_wipe(text.p, text.n);
	d->first = true;
	return r;
}

static int make_master_key(struct serve_data *d, const char *user, struct err *err)
{
	_cleanup_(freep) char *path = xasprintf("%s/master.key", d->path);
	uint8_t key[MASTER_KEY_SIZE];
	struct stat st;
	int r;

	if (stat(path, &st) == 0)
		return st.st_size == MASTER_KEY_SIZE ? 0 : err_set(err, 0, "%s is not a key of 32 bytes", path);
	if (errno != ENOENT)
		return err_set(err, errno, "%s", path);
	random_bytes(key, sizeof(key));
	r = write_secret(path, str_n(key, sizeof(key)), user, err);
	mem_wipe(key, sizeof(key));
	return r;
}

int serve_data_open(struct serve_data *d, const char *path, const char *user, struct err *err)
{
	*d = (struct serve_data){.lock = -1};
	if (make_folder(d, path, err) < 0 || lock_folder(d, err) < 0 || make_credentials(d, user, err) < 0 ||
	    make_master_key(d, user, err) < 0 || hand_over(d->path, user, err) < 0)
		return -1;
	d->node_socket = xasprintf("%s/run/node.sock", d->path);
	if (strlen(d->node_socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return err_set(err, 0,
			       "the path of the data folder %s is too long: with /run/node.sock it must stay under "
			       "%zu bytes",
			       d->path, sizeof(((struct sockaddr_un *)NULL)->sun_path));
	return 0;
}

void serve_data_close(struct serve_data *d)
{
	if (d->lock >= 0)
		close(d->lock);
	free(d->path);
	free(d->node_socket);
	*d = (struct serve_data){.lock = -1};
}

int serve_data_record(const struct serve_data *d, const char *name, const char *value, struct err *err)
{
	_cleanup_(freep) char *path = xasprintf("%s/run/%s", d->path, name), *text = xasprintf("%s\n", value);
	_cleanup_(buf_done) struct buf there = BUF_NULL;
	int r;

	if (file_read(path, 4096, &there) == 0 && str_eqz(buf_str(&there), text))
		return 0;
	r = file_write(path, str_from(text), 0600);
	return r < 0 ? err_set(err, -r, "%s cannot be written", path) : 0;
}
