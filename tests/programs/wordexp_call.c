/* wordexp_call: the C library's wordexp(3) with a command substitution, for which glibc runs a shell
 * by its full path: neither system nor popen.
 * Expected: one start, argv ["/bin/sh", "-c", ...], mechanism posix_spawn.
 * Prints {"self"}. */
#include "starter.h"
#include <wordexp.h>

int main(void)
{
	wordexp_t words;

	if (wordexp("$(/bin/true in-wordexp; echo word)", &words, 0) != 0 || words.we_wordc != 1)
		die("wordexp");
	printf("{\"self\": %d}\n", getpid());
	return 0;
}
