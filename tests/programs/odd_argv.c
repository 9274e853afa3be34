/* odd_argv: a child executes /bin/true with arguments that are made to trip readers: bytes that are
 * no UTF-8, a cut character, terminal escapes, control characters, quotes, an empty argument,
 * private-use and right-to-left characters.
 * Expected: argv decodes to exactly these bytes; nothing of it reaches a terminal unescaped.
 * Prints {"self", "child", "argv_hex": [...]}. */
#include "starter.h"

static char *const arguments[] = {
	"true",
	"\xff\xfe\x80",
	"caf\xc3\xa9 \xc3",
	"\x1b]0;owned\x07\x1b[31mred\x1b[2J",
	"line\nfeed\rreturn\ttab\x7f\x9b",
	"quote\"back\\slash'",
	"",
	"\xee\xbe\x80\xef\x80\x80",
	"\xe2\x80\xae" "gpj.exe",
	NULL,
};

int main(void)
{
	pid_t child = fork();
	int i;

	if (child < 0)
		die("fork");
	if (child == 0) {
		execv(TRUE_PATH, arguments);
		die("execv");
	}
	reap_ok(child);
	printf("{\"self\": %d, \"child\": %d, \"argv_hex\": [", getpid(), child);
	for (i = 0; arguments[i]; i++) {
		const unsigned char *byte = (const unsigned char *)arguments[i];

		printf("%s\"", i ? ", " : "");
		for (; *byte; byte++)
			printf("%02x", *byte);
		printf("\"");
	}
	printf("]}\n");
	return 0;
}
