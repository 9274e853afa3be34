/* clone_newpid: clone(2) with CLONE_NEWPID makes the first process of a new PID namespace ("init",
 * 1 in there), which forks one more ("inner", 2 in there) that executes /bin/true. The pids that
 * are printed are those of the starter's namespace: the kernel translates them in SCM_CREDENTIALS.
 * Needs root.
 * Expected: two starts, ns_pid 1 and 2, CLONE_NEWPID among the first one's flags.
 * Prints {"self", "init", "inner", "init_ns_pid", "inner_ns_pid"}. */
#include "starter.h"
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>

static pid_t receive_credentials(int fd, pid_t *inside)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec data = { inside, sizeof *inside };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof control.bytes,
	};
	struct cmsghdr *header;
	struct ucred who;

	if (recvmsg(fd, &message, 0) != sizeof *inside)
		die("recvmsg");
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_CREDENTIALS) {
		dprintf(2, "clone_newpid: no credentials\n");
		_exit(1);
	}
	memcpy(&who, CMSG_DATA(header), sizeof who);
	return who.pid;
}

int main(void)
{
	pid_t init, seen, inner, init_inside = 0, inner_inside = 0;
	int sockets[2], on = 1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		die("socketpair");
	if (setsockopt(sockets[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
		die("SO_PASSCRED");
	init = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
	if (init < 0)
		die("clone(CLONE_NEWPID), which needs root");
	if (init == 0) {
		pid_t child;

		send_pid(sockets[1], getpid());
		child = fork();
		if (child < 0)
			die("fork");
		if (child == 0) {
			send_pid(sockets[1], getpid());
			exec_true("clone_newpid");
		}
		reap_ok(child);
		_exit(0);
	}
	seen = receive_credentials(sockets[0], &init_inside);
	inner = receive_credentials(sockets[0], &inner_inside);
	reap_ok(init);
	if (seen != init) {
		dprintf(2, "clone_newpid: init is %d, but its credentials say %d\n", init, seen);
		return 1;
	}
	printf("{\"self\": %d, \"init\": %d, \"inner\": %d, \"init_ns_pid\": %d, \"inner_ns_pid\": %d}\n",
	       getpid(), init, inner, init_inside, inner_inside);
	return 0;
}
