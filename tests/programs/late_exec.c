/* late_exec [MS]: a child executes this program anew ("wait"), which sleeps MS milliseconds (500) and
 * then executes /bin/true in its place.
 * Expected: one start while the window is longer than that; with a shorter one two, the second by exec.
 * Prints {"self", "child"}. */
#include "starter.h"

int main(int argc, char **argv)
{
	long ms;
	pid_t child;

	if (argc > 2 && !strcmp(argv[1], "wait")) {
		sleep_ms(number(argc, argv, 2, 500));
		exec_true("late_exec");
	}
	ms = number(argc, argv, 1, 500);
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		char text[32];
		char *arguments[] = { "late_exec", "wait", text, NULL };

		snprintf(text, sizeof text, "%ld", ms);
		execv("/proc/self/exe", arguments);
		die("execv");
	}
	reap_ok(child);
	printf("{\"self\": %d, \"child\": %d}\n", getpid(), child);
	return 0;
}
