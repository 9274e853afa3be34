/* under_ptrace PROGRAM [ARGS]: runs it as strace -f does: traced with ptrace(2), its descendants too, each stopped at
 * every system call. Ends as the program does.
 * Expected: PROGRAM's starts are what they are without it, with this as their first parent.
 * Prints nothing itself. */
#include "starter.h"
#include <signal.h>
#include <sys/ptrace.h>

int main(int argc, char **argv)
{
	long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
		       PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
	int status, code = 1;
	pid_t first, pid;

	if (argc < 2)
		return 2;
	first = fork();
	if (first < 0)
		die("fork");
	if (first == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
			die("ptrace");
		raise(SIGSTOP);
		execvp(argv[1], argv + 1);
		die(argv[1]);
	}
	if (waitpid(first, &status, 0) != first || !WIFSTOPPED(status))
		die("waitpid");
	if (ptrace(PTRACE_SETOPTIONS, first, 0, options) < 0 || ptrace(PTRACE_SYSCALL, first, 0, 0) < 0)
		die("ptrace");
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		long signal = 0;

		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			if (pid == first)
				code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			continue;
		}
		/* Its own signals are handed on; stops of the tracing, and the first stop of a new task, are not. */
		if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != (SIGTRAP | 0x80) && WSTOPSIG(status) != SIGSTOP)
			signal = WSTOPSIG(status);
		ptrace(PTRACE_SYSCALL, pid, 0, signal);
	}
	return code;
}
