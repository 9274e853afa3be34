/* exit_codes: children that end in every way: codes 0, 3 and 255; abort(3), with a core dump where
 * the machine makes one; a segmentation fault; SIGTERM and SIGKILL sent by the starter.
 * Expected: exit code or signal of each start as printed; "core" as the kernel told the parent.
 * Prints {"self", "children": [{"pid", "code" or null, "signal" or null, "core"}, ...]}. */
#include "starter.h"
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *level)
{
	(void)info;
	(void)type;
	(void)level;
	return remove(path);
}

static const char *signal_name(int signal)
{
	switch (signal) {
	case SIGABRT: return "SIGABRT";
	case SIGSEGV: return "SIGSEGV";
	case SIGTERM: return "SIGTERM";
	case SIGKILL: return "SIGKILL";
	default: return "another";
	}
}

enum way { EXIT_0, EXIT_3, EXIT_255, ABORT, FAULT, TERM, KILL, WAYS };

static void end_by(enum way way)
{
	switch (way) {
	case EXIT_0: _exit(0);
	case EXIT_3: _exit(3);
	case EXIT_255: _exit(255);
	case ABORT: abort();
	case FAULT:
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
		_exit(1);
	default:
		for (;;)
			pause();
	}
}

int main(void)
{
	char folder[] = "/tmp/startrace-exit-codes-XXXXXX";
	struct rlimit core;
	int way;

	/* A core file, where one is written, goes into a folder that is removed. */
	if (!mkdtemp(folder) || chdir(folder) < 0)
		die("mkdtemp");
	if (getrlimit(RLIMIT_CORE, &core) == 0) {
		core.rlim_cur = core.rlim_max;
		setrlimit(RLIMIT_CORE, &core);
	}
	printf("{\"self\": %d, \"children\": [", getpid());
	fflush(stdout);
	for (way = EXIT_0; way < WAYS; way++) {
		pid_t child = fork();
		int status;

		if (child < 0)
			die("fork");
		if (child == 0)
			end_by(way);
		if (way == TERM || way == KILL) {
			sleep_ms(5);
			kill(child, way == TERM ? SIGTERM : SIGKILL);
		}
		status = reap(child);
		printf("%s{\"pid\": %d, ", way ? ", " : "", child);
		if (WIFEXITED(status))
			printf("\"code\": %d, \"signal\": null, \"core\": false}", WEXITSTATUS(status));
		else
			printf("\"code\": null, \"signal\": \"%s\", \"core\": %s}",
			       signal_name(WTERMSIG(status)), WCOREDUMP(status) ? "true" : "false");
		fflush(stdout);
	}
	printf("]}\n");
	if (chdir("/") == 0)
		nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
