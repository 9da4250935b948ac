/* The tap device of a box. A process that has entered a namespace does not come back, so a child does it and sends the
 * descriptor, or a line that says what failed. An ordinary user has the right to do so in a user namespace that is his,
 * and enters that first; root needs no such detour, and could not open the device from there. */
#include "node/net/tap.h"

#include "base/str.h"
#include "sys/fdpass.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <net/route.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICE    "/dev/net/tun"
#define WORDS_MAX 512

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static int enter(int pidfd, struct err *err)
{
	int spaces = geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET;

	return setns(pidfd, spaces) < 0 ? err_set(err, errno, "enter the network of the box") : 0;
}

static int open_device(const char *name, struct err *err)
{
	_cleanup_(closep) int fd = open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return err_set(err, errno, "open %s: the kernel module is missing (modprobe tun)", DEVICE);
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return err_set(err, errno, "open %s: who runs Wick may not (chmod 0666 %s)", DEVICE, DEVICE);
	if (fd < 0)
		return err_set(err, errno, "open %s", DEVICE);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return err_set(err, errno, "make device %s", name);
	return steal_fd(&fd);
}

static struct sockaddr address(const uint8_t a[static 4])
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr r;

	memcpy(&in.sin_addr, a, 4);
	memcpy(&r, &in, sizeof(r));
	return r;
}

static int set_up(const struct tap_conf *c, struct err *err)
{
	static const uint8_t any[4];
	_cleanup_(closep) int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

	if (s < 0)
		return err_set(err, errno, "socket");
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", c->name);
	ifr.ifr_mtu = c->mtu;
	if (ioctl(s, SIOCSIFMTU, &ifr) < 0)
		return err_set(err, errno, "MTU of %s", c->name);
	ifr.ifr_addr = address(c->addr);
	if (ioctl(s, SIOCSIFADDR, &ifr) < 0)
		return err_set(err, errno, "address of %s", c->name);
	ifr.ifr_netmask = address(c->mask);
	if (ioctl(s, SIOCSIFNETMASK, &ifr) < 0)
		return err_set(err, errno, "netmask of %s", c->name);
	if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
		return err_set(err, errno, "flags of %s", c->name);
	ifr.ifr_flags |= IFF_UP | IFF_RUNNING;
	if (ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
		return err_set(err, errno, "bring %s up", c->name);
	route.rt_dst = address(any);
	route.rt_genmask = address(any);
	route.rt_gateway = address(c->gateway);
	return ioctl(s, SIOCADDRT, &route) < 0 ? err_set(err, errno, "default route") : 0;
}

static _noreturn_ void child(int sock, int pidfd, const struct tap_conf *conf)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	int fd = -1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (enter(pidfd, &err) == 0)
		fd = open_device(conf->name, &err);
	if (fd >= 0 && set_up(conf, &err) == 0)
		_exit(fd_send(sock, "", 1, &fd, 1) == 1 ? 0 : 1);
	_exit(fd_send(sock, err.msg, MIN(strlen(err.msg), (size_t)WORDS_MAX), NULL, 0) > 0 ? 1 : 2);
}

int tap_open(int pidfd, const struct tap_conf *conf, struct err *err)
{
	_cleanup_(closep) int near = -1, far = -1;
	int pair[2], fds[FDPASS_MAX], status;
	char words[WORDS_MAX];
	size_t n_fds = 0;
	ssize_t n;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, errno, "make a socket");
	near = pair[0], far = pair[1];
	pid = fork();
	if (pid < 0)
		return err_set(err, errno, "fork");
	if (pid == 0)
		child(far, pidfd, conf);
	close(steal_fd(&far));
	n = fd_recv(near, words, sizeof(words), fds, &n_fds);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n > 0 && n_fds == 1)
		return fds[0];
	if (n > 0)
		return err_set(err, 0, "%.*s", (int)n, words);
	return err_set(err, 0, "the network of the box is not set up: status %#x", (unsigned)status);
}
