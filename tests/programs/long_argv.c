/* long_argv [BYTES]: a child executes /bin/true with arguments of BYTES bytes in all (8192),
 * terminators included, in pieces of at most 4096.
 * Expected: argv_bytes equals the printed number; argv is whole or argv_truncated is true.
 * Prints {"self", "child", "argv_bytes", "arguments"}. */
#include "starter.h"

#define PIECE 4096

int main(int argc, char **argv)
{
	/* "true" and its terminator are 5 of them. */
	long bytes = number(argc, argv, 1, 8192), left = bytes - 5, count = 1, written = 5;
	char **arguments;
	pid_t child;

	if (left < 0) {
		dprintf(2, "long_argv: at least 5 bytes\n");
		return 2;
	}
	arguments = calloc((size_t)(left / PIECE + 3), sizeof *arguments);
	if (!arguments)
		die("calloc");
	arguments[0] = "true";
	while (left > 0) {
		long size = left < PIECE ? left : PIECE;
		char *piece = malloc((size_t)size);

		if (!piece)
			die("malloc");
		memset(piece, 'a' + (int)(count % 26), (size_t)size - 1);
		piece[size - 1] = 0;
		arguments[count++] = piece;
		written += size;
		left -= size;
	}
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		execv(TRUE_PATH, arguments);
		die("execv");
	}
	reap_ok(child);
	printf("{\"self\": %d, \"child\": %d, \"argv_bytes\": %ld, \"arguments\": %ld}\n", getpid(),
	       child, written, count);
	return 0;
}
