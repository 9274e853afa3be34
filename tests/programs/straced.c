/* straced PROGRAM [ARGUMENT ...]: runs a program as strace does, halted by its tracer at every system call.
 * Prints {"self", "child", "stops"}; exits with the child's status. */
#include "starter.h"
#include <signal.h>
#include <sys/ptrace.h>

int main(int argc, char **argv)
{
	pid_t child = fork();
	int status, stops = 0;

	if (argc < 2 || child < 0)
		die("fork");
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			die("ptrace");
		raise(SIGSTOP);
		execv(argv[1], argv + 1);
		die(argv[1]);
	}
	for (;;) {
		if (waitpid(child, &status, 0) != child)
			die("waitpid");
		if (!WIFSTOPPED(status))
			break;
		stops++;
		if (ptrace(PTRACE_SYSCALL, child, 0, 0))
			die("PTRACE_SYSCALL");
	}
	printf("{\"self\": %d, \"child\": %d, \"stops\": %d}\n", getpid(), (int)child, stops);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
