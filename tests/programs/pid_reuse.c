/* pid_reuse [N]: N processes (3), one after the other, all with the same pid, which clone3(2) can be
 * asked for (set_tid, Linux 5.5); each executes /bin/true with "round-I". Needs root.
 * Expected: N starts with one pid, N different ids and argv, each with its own exec and exit.
 * Prints {"self", "pid", "rounds"}. */
#include "starter.h"
#include <signal.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

struct arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	uint64_t set_tid, set_tid_size;
};

static pid_t start(pid_t wanted, long round)
{
	pid_t list[1] = { wanted };
	struct arguments arguments = {
		.exit_signal = SIGCHLD,
		.set_tid = wanted ? (uintptr_t)list : 0,
		.set_tid_size = wanted ? 1 : 0,
	};
	pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);

	if (child == 0) {
		char mark[32];

		snprintf(mark, sizeof mark, "round-%ld", round);
		exec_true(mark);
	}
	return child;
}

int main(int argc, char **argv)
{
	long rounds = number(argc, argv, 1, 3), round, attempt;
	pid_t pid = 0;

	/* Somebody else may get the freed pid between two rounds; then all begins anew. */
	for (attempt = 0; attempt < 20; attempt++) {
		pid = 0;
		for (round = 0; round < rounds; round++) {
			pid_t child = start(pid, round);

			if (child < 0 && errno == EEXIST)
				break;
			if (child < 0)
				die("clone3 with set_tid, which needs root");
			reap_ok(child);
			pid = child;
		}
		if (round == rounds) {
			printf("{\"self\": %d, \"pid\": %d, \"rounds\": %ld}\n", getpid(), pid, rounds);
			return 0;
		}
	}
	dprintf(2, "pid_reuse: others took the pid each time\n");
	return 1;
}
