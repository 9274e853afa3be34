/* system_call: the C library's system(3). The shell tells its pid through a pipe.
 * Expected: one start with pattern system, argv ["sh", "-c", ...], and in it the shell's own
 * child /bin/true (a shell that executes its last command in place is kept from it by "; :").
 * Prints {"self", "shell"}. */
#include "starter.h"

int main(void)
{
	char command[80], answer[32] = "";
	int fds[2], status;

	if (pipe(fds) < 0)
		die("pipe");
	/* The shell takes single digits only as descriptors. */
	if (dup2(fds[1], 9) < 0 || close(fds[1]) < 0)
		die("dup2");
	snprintf(command, sizeof command, "echo $$ >&9; /bin/true in-system; :");
	status = system(command);
	if (status != 0) {
		dprintf(2, "system_call: wait status 0x%x\n", status);
		return 1;
	}
	close(9);
	if (read(fds[0], answer, sizeof answer - 1) <= 0)
		die("read");
	printf("{\"self\": %d, \"shell\": %ld}\n", getpid(), strtol(answer, NULL, 10));
	return 0;
}
