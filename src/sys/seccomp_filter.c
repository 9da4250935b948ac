/* The filter of a box: a list of what is allowed, as container engines have it, less what a function does not need.
 * All else is EPERM; what is newer than the list and what programs probe for is ENOSYS, so that they fall back. Owns
 * nothing: the program is the caller's. What can fail is libseccomp on a processor it does not know. */
#include "sys/seccomp_filter.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#define NAMESPACES                                                                                                     \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP)

/* Names with blanks between; a name that this libseccomp or processor does not have is passed over. */
static const char allowed[] =
	"read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open openat openat2 creat close "
	"close_range lseek dup dup2 dup3 pipe pipe2 fcntl flock fsync fdatasync sync_file_range ftruncate "
	"truncate fallocate fadvise64 readahead sendfile splice tee vmsplice copy_file_range "
	"stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat getdents "
	"getdents64 mkdir mkdirat rmdir rename renameat renameat2 link linkat unlink unlinkat symlink symlinkat mknod "
	"mknodat chmod fchmod fchmodat chown fchown lchown fchownat umask utime utimes futimesat utimensat chdir "
	"fchdir "
	"getcwd getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr removexattr "
	"lremovexattr fremovexattr inotify_init inotify_init1 inotify_add_watch inotify_rm_watch "
	"mmap munmap mprotect mremap msync madvise process_madvise mincore mlock mlock2 munlock mlockall munlockall "
	"brk "
	"mbind get_mempolicy set_mempolicy set_mempolicy_home_node membarrier memfd_create remap_file_pages pkey_alloc "
	"pkey_free pkey_mprotect "
	"select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old "
	"epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime "
	"socketcall bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt shutdown sendto "
	"sendmsg sendmmsg recvfrom recvmsg recvmmsg "
	"fork vfork execve execveat exit exit_group wait4 waitid getpid getppid gettid getpgid getpgrp setpgid getsid "
	"setsid kill tkill tgkill rt_sigaction rt_sigprocmask rt_sigpending rt_sigqueueinfo rt_tgsigqueueinfo "
	"rt_sigreturn rt_sigsuspend rt_sigtimedwait sigaltstack pause alarm getitimer setitimer restart_syscall "
	"pidfd_open pidfd_send_signal set_tid_address set_robust_list get_robust_list rseq futex futex_waitv "
	"get_thread_area set_thread_area arch_prctl prctl seccomp "
	"landlock_create_ruleset landlock_add_rule landlock_restrict_self "
	"getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid setresuid "
	"setresgid setgroups setfsuid setfsgid capget capset "
	"sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_setparam sched_getscheduler "
	"sched_setscheduler sched_getattr sched_setattr sched_get_priority_max sched_get_priority_min "
	"sched_rr_get_interval getpriority setpriority ioprio_get ioprio_set getcpu getrlimit setrlimit prlimit64 "
	"getrusage times sysinfo uname "
	"time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep timer_create timer_settime "
	"timer_gettime timer_getoverrun timer_delete getrandom "
	"shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl ipc mq_open mq_unlink "
	"mq_timedsend mq_timedreceive mq_notify mq_getsetattr";

static const char for_boxes[] =
	"open_tree move_mount fsopen fsconfig fsmount mount_setattr pivot_root umount2 sethostname";

static int add(scmp_filter_ctx f, uint32_t action, const char *name, unsigned n, const struct scmp_arg_cmp *args)
{
	int nr = seccomp_syscall_resolve_name(name);

	return nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(f, action, nr, n, args);
}

static int add_list(scmp_filter_ctx f, uint32_t action, struct str list)
{
	struct str word;
	char name[64];
	int r = 0;

	while (list.n && r >= 0) {
		str_cut(list, ' ', &word, &list);
		snprintf(name, sizeof(name), "%.*s", STR_ARG(word));
		r = add(f, action, name, 0, NULL);
	}
	return r;
}

#define MASKED(arg, mask, value) ((struct scmp_arg_cmp){(arg), SCMP_CMP_MASKED_EQ, (mask), (value)})
/* Arguments that the kernel takes as 32 bits are compared as such. */
#define INT_IS(arg, value) MASKED(arg, 0xffffffff, value)

static int add_sockets(scmp_filter_ctx f)
{
	static const int families[] = {AF_INET, AF_INET6}, types[] = {SOCK_STREAM, SOCK_DGRAM};
	const struct scmp_arg_cmp local = INT_IS(0, AF_UNIX);
	/* Reading addresses and routes: libc does. */
	const struct scmp_arg_cmp route[] = {INT_IS(0, AF_NETLINK), INT_IS(2, NETLINK_ROUTE)};
	int r;

	r = add(f, SCMP_ACT_ALLOW, "socketpair", 1, &local);
	if (r >= 0)
		r = add(f, SCMP_ACT_ALLOW, "socket", 1, &local);
	if (r >= 0)
		r = add(f, SCMP_ACT_ALLOW, "socket", ARRAY_SIZE(route), route);
	for (size_t i = 0; i < 4 && r >= 0; i++) {
		const struct scmp_arg_cmp inet[] = {INT_IS(0, (unsigned)families[i / 2]),
						    MASKED(1, 0xf, (unsigned)types[i % 2])};

		r = add(f, SCMP_ACT_ALLOW, "socket", ARRAY_SIZE(inet), inet);
	}
	return r;
}

/* Calls that are allowed or not by their arguments. */
static int add_conditions(scmp_filter_ctx f, bool boxes)
{
	const struct scmp_arg_cmp plain = MASKED(0, NAMESPACES, 0), box = MASKED(0, NAMESPACES, NAMESPACES);
	const struct scmp_arg_cmp query = INT_IS(0, 0xffffffff), linux_own = INT_IS(0, 0);
	int r;

	r = add(f, SCMP_ACT_ALLOW, "clone", 1, &plain);
	if (r >= 0 && boxes)
		r = add(f, SCMP_ACT_ALLOW, "clone", 1, &box);
	if (r >= 0)
		r = add(f, SCMP_ACT_ALLOW, "personality", 1, &query);
	if (r >= 0)
		r = add(f, SCMP_ACT_ALLOW, "personality", 1, &linux_own);
	if (r >= 0)
		r = add(f, SCMP_ACT_ALLOW, "ioctl", 0, NULL); /* but the two in the prologue */
	return r < 0 ? r : add_sockets(f);
}

/* Stands before what libseccomp makes, for what a list of allowed calls cannot say:
 *   calls beyond the last one that the list was made with are ENOSYS
 *   ioctls that type into terminals are EPERM
 *   the limit of cores stays: setting it does nothing and succeeds. What the box has (1) keeps a core from a program of
 *   the host that cores are piped to; 0 would not. */
#define LAST_KNOWN 450 /* set_mempolicy_home_node, Linux 5.17 */
enum prologue_label { IOCTL = 5, SETRLIMIT = 8, PRLIMIT = 10, DONE = 16, UNKNOWN, REFUSED, GO_ON };
#define LOAD(what, half) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what) + (half))
#define LOW              0 /* little-endian */
#define HIGH             4
#define IF(at, test, value, then, otherwise)                                                                           \
	BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), (then) - (at)-1, (otherwise) - (at)-1)
#define SAY(number) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (number))
static const struct sock_filter prologue[] = {
	LOAD(nr, LOW),
	IF(1, BPF_JGT, LAST_KNOWN, UNKNOWN, 2),
	IF(2, BPF_JEQ, SYS_ioctl, IOCTL, 3),
	IF(3, BPF_JEQ, SYS_setrlimit, SETRLIMIT, 4),
	IF(4, BPF_JEQ, SYS_prlimit64, PRLIMIT, GO_ON),
	/* IOCTL: its command */
	LOAD(args[1], LOW),
	IF(6, BPF_JEQ, TIOCSTI, REFUSED, 7),
	IF(7, BPF_JEQ, TIOCLINUX, REFUSED, GO_ON),
	/* SETRLIMIT: its resource */
	LOAD(args[0], LOW),
	IF(9, BPF_JEQ, RLIMIT_CORE, DONE, GO_ON),
	/* PRLIMIT: its resource; is there a new limit? */
	LOAD(args[1], LOW),
	IF(11, BPF_JEQ, RLIMIT_CORE, 12, GO_ON),
	LOAD(args[2], LOW),
	IF(13, BPF_JEQ, 0, 14, DONE),
	LOAD(args[2], HIGH),
	IF(15, BPF_JEQ, 0, GO_ON, DONE),
	SAY(0),
	SAY(ENOSYS),
	SAY(EPERM),
};
_Static_assert(ARRAY_SIZE(prologue) == GO_ON, "labels are where they say");

static int make_rules(scmp_filter_ctx f, bool boxes)
{
	const struct str extra = str_from(boxes ? for_boxes : "");
	/* They would have the host write all it holds; what is in a box is memory. */
	const struct str pretended = STR("sync syncfs");
	const struct str probed = STR("clone3 io_uring_setup io_uring_enter io_uring_register");
	int r;

	r = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
	if (r >= 0)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree instead of a list */
	if (r >= 0)
		r = add_list(f, SCMP_ACT_ALLOW, str_from(allowed));
	if (r >= 0)
		r = add_list(f, SCMP_ACT_ALLOW, extra);
	if (r >= 0)
		r = add_list(f, SCMP_ACT_ERRNO(ENOSYS), probed);
	if (r >= 0)
		r = add_list(f, SCMP_ACT_ERRNO(0), pretended);
	return r < 0 ? r : add_conditions(f, boxes);
}

static void release(scmp_filter_ctx *f)
{
	if (*f)
		seccomp_release(*f);
}

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int seccomp_filter_build(struct seccomp_filter *ret, bool boxes, struct err *err)
{
	_cleanup_(release) scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	_cleanup_(closep) int fd = memfd_create("filter", MFD_CLOEXEC);
	_cleanup_(freep) char *code = NULL;
	off_t size;
	int r;

	if (!f || fd < 0)
		return err_set(err, f ? errno : ENOMEM, "seccomp filter");
	r = make_rules(f, boxes);
	if (r >= 0)
		r = seccomp_export_bpf(f, fd);
	if (r < 0)
		return err_set(err, -r, "seccomp filter");
	size = lseek(fd, 0, SEEK_END);
	if (size <= 0 || (size_t)size + sizeof(prologue) > BPF_MAXINSNS * sizeof(struct sock_filter))
		return err_set(err, EOVERFLOW, "seccomp filter");
	code = xmalloc(sizeof(prologue) + (size_t)size);
	memcpy(code, prologue, sizeof(prologue));
	if (pread(fd, code + sizeof(prologue), (size_t)size, 0) != size)
		return err_set(err, EIO, "seccomp filter");
	ret->n = (unsigned short)((sizeof(prologue) + (size_t)size) / sizeof(struct sock_filter));
	ret->code = steal(&code);
	return 0;
}

int seccomp_filter_load(const struct seccomp_filter *p)
{
	const struct sock_fprog program = {.len = p->n, .filter = p->code};

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
