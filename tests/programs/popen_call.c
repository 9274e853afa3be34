/* popen_call: the C library's popen(3) for reading. The shell prints its pid into the pipe.
 * Expected: one start with pattern popen, argv ["sh", "-c", ...].
 * Prints {"self", "shell"}. */
#include "starter.h"

int main(void)
{
	FILE *pipe = popen("echo $$; /bin/true in-popen; :", "r");
	long shell = 0;

	if (!pipe)
		die("popen");
	if (fscanf(pipe, "%ld", &shell) != 1)
		die("reading the shell's pid");
	if (pclose(pipe) != 0)
		die("pclose");
	printf("{\"self\": %d, \"shell\": %ld}\n", getpid(), shell);
	return 0;
}
