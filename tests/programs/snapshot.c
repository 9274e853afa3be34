/* snapshot [KIB]: the state of a parent that lives on, written out by one copy of it: KIB (256) into a
 * file that has no name.
 * Expected: one start, mechanism fork, pattern snapshot, no exec.
 * Prints {"self", "child"}. */
#include "starter.h"

int main(int argc, char **argv)
{
	long kib = number(argc, argv, 1, 256), i;
	static char block[1024];
	FILE *file = tmpfile();
	pid_t child;

	if (!file)
		die("tmpfile");
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		for (i = 0; i < kib; i++)
			if (write(fileno(file), block, sizeof block) != sizeof block)
				_exit(1);
		_exit(0);
	}
	reap_ok(child);
	printf("{\"self\": %d, \"child\": %d}\n", getpid(), child);
	return 0;
}
