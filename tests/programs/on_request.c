/* on_request: a master that starts what it is asked for, by signal or by a line on stdin.
 * SIGTTIN: a worker (a copy that lives 20 ms). SIGUSR1, or the line "exec": executes /bin/true in a
 * child. The line "self": executes /bin/true in its own place. The line "end", or the end of stdin: ends.
 * Prints "ready" when it listens, for every start a line with the child's pid after its end, and
 * {"self"} at its own. */
#include "starter.h"
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

static int told(void)
{
	printf("{\"self\": %d}\n", (int)getpid());
	return 0;
}

static void start(int with_exec)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child == 0) {
		if (with_exec)
			exec_true("on_request");
		sleep_ms(20);
		_exit(0);
	}
	reap_ok(child);
	printf("%d\n", (int)child);
	fflush(stdout);
}

int main(void)
{
	struct signalfd_siginfo info;
	struct pollfd fds[2];
	char line[64];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTTIN);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fds[0] = (struct pollfd){ .fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = 0, .events = POLLIN };
	if (fds[0].fd < 0)
		die("signalfd");
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		if (poll(fds, 2, -1) < 0)
			die("poll");
		if (fds[0].revents) {
			if (read(fds[0].fd, &info, sizeof info) != sizeof info)
				die("read of a signal");
			start(info.ssi_signo == SIGUSR1);
		}
		if (fds[1].revents) {
			ssize_t n = read(0, line, sizeof line - 1);

			if (n <= 0)
				return told();
			line[n] = 0;
			if (!strcmp(line, "exec\n"))
				start(1);
			else if (!strcmp(line, "self\n"))
				exec_true("in place");
			else
				return told();
		}
	}
}
