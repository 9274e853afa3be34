/* clone3_exec: the raw clone3(2) system call with CLONE_PIDFD and the caller's stack (a fork in all
 * but name), and the child executes /bin/true.
 * Expected: one start, primitive clone3, mechanism fork_exec, CLONE_PIDFD among the flags.
 * Prints {"self", "child"}. */
#include "starter.h"
#include <signal.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#define PIDFD 0x1000ULL

/* struct clone_args as of its first version; the C library's headers may lack it. */
struct arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

int main(void)
{
	int pidfd = -1;
	struct arguments arguments = {
		.flags = PIDFD,
		.pidfd = (uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);

	if (child < 0)
		die("clone3");
	if (child == 0)
		exec_true("clone3_exec");
	reap_ok(child);
	printf("{\"self\": %d, \"child\": %d}\n", getpid(), child);
	return 0;
}
