/* fork_resident MIB: touches so much memory, forks a child that executes /bin/true, and one by vfork(2) that does.
 * Expected: two starts, of which the first says how much resident memory the fork copied the page tables of.
 * Prints {"self", "copied", "shared", "resident_bytes"}: the last as the page tables say, walked before the fork. */
#include "starter.h"

static long long resident_bytes(void)
{
	FILE *rollup = fopen("/proc/self/smaps_rollup", "r");
	long long kib = -1;
	char line[256];

	if (!rollup)
		die("/proc/self/smaps_rollup");
	while (fgets(line, sizeof line, rollup))
		if (sscanf(line, "Rss: %lld kB", &kib) == 1)
			break;
	fclose(rollup);
	return kib * 1024;
}

int main(int argc, char **argv)
{
	size_t size = (size_t)number(argc, argv, 1, 64) << 20;
	char *memory = malloc(size);
	long long resident;
	pid_t copied, shared;

	if (!memory)
		die("malloc");
	memset(memory, 1, size);
	resident = resident_bytes();
	copied = fork();
	if (copied < 0)
		die("fork");
	if (copied == 0)
		exec_true("copied");
	reap_ok(copied);
	shared = vfork();
	if (shared < 0)
		die("vfork");
	if (shared == 0) {
		execl("/bin/true", "true", "shared", (char *)NULL);
		_exit(127);
	}
	reap_ok(shared);
	printf("{\"self\": %d, \"copied\": %d, \"shared\": %d, \"resident_bytes\": %lld}\n", getpid(), copied, shared,
	       resident);
	return 0;
}
