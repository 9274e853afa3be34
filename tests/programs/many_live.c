/* many_live N: N children (100) that sleep until they are killed; then reads lines: "go" starts one more, which executes
 * /bin/true with argument "many_live", from the last of them; "end", or the end of the input, ends all.
 * Prints {"self", "last"} when all live, and {"child"} for each "go". */
#include "starter.h"
#include <signal.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
	long count = number(argc, argv, 1, 100), i;
	pid_t self = getpid(), child, last = 0;
	int order[2], answer[2];
	char line[16], byte;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pipe(order) < 0 || pipe(answer) < 0)
		die("pipe");
	for (i = 0; i < count; i++) {
		last = fork();
		if (last < 0)
			die("fork");
		if (last > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != self)
			_exit(1);
		if (i < count - 1) {
			close(order[0]);
			close(order[1]);
			for (;;)
				pause();
		}
		while (read(order[0], &byte, 1) == 1) {
			child = fork();
			if (child == 0)
				exec_true("many_live");
			if (child < 0 || reap(child) != 0 || write(answer[1], &child, sizeof child) != sizeof child)
				_exit(1);
		}
		_exit(0);
	}
	printf("{\"self\": %d, \"last\": %d}\n", self, last);
	while (fgets(line, sizeof line, stdin) && strcmp(line, "end\n")) {
		if (write(order[1], "x", 1) != 1 || read(answer[0], &child, sizeof child) != sizeof child)
			die("the last child");
		printf("{\"child\": %d}\n", child);
	}
	/* This process's end is that of the others. */
	return 0;
}
