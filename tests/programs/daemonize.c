/* daemonize [MS [FILE]]: daemon(3); the daemon lives for MS milliseconds (100).
 * Without FILE a child of the starter ("launcher") daemonises, and the starter waits until the
 * daemon is gone: prints {"self", "launcher", "daemon"}.
 * With FILE (absolute: the daemon works in /) the starter itself daemonises and so ends at once; the
 * daemon writes the JSON line {"self", "daemon"} into FILE, under another name first and renamed
 * when it is whole, "self" being the process that was started.
 * Expected: the daemon's start has pattern daemon, no exec, and outlives its creator. */
#include "starter.h"

static void become_daemon(void)
{
	pid_t creator = getpid();

	if (daemon(0, 0) < 0)
		die("daemon");
	outlive(creator);
}

int main(int argc, char **argv)
{
	long ms = number(argc, argv, 1, 100);
	pid_t self = getpid(), launcher, daemon_pid;
	int fds[2];
	char byte;

	if (argc > 2) {
		char part[4096];
		FILE *file;

		become_daemon();
		snprintf(part, sizeof part, "%s.part", argv[2]);
		file = fopen(part, "w");
		if (!file)
			_exit(1);
		fprintf(file, "{\"self\": %d, \"daemon\": %d}\n", self, getpid());
		if (fclose(file) || rename(part, argv[2]))
			_exit(1);
		sleep_ms(ms);
		_exit(0);
	}
	make_pipe(fds);
	launcher = fork();
	if (launcher < 0)
		die("fork");
	if (launcher == 0) {
		close(fds[0]);
		become_daemon();
		send_pid(fds[1], getpid());
		sleep_ms(ms);
		_exit(0);
	}
	close(fds[1]);
	reap_ok(launcher);
	daemon_pid = receive_pid(fds[0]);
	/* End of file: the daemon, which held the other end, is gone. */
	if (read(fds[0], &byte, 1) != 0)
		die("waiting for the daemon's end");
	printf("{\"self\": %d, \"launcher\": %d, \"daemon\": %d}\n", self, launcher, daemon_pid);
	return 0;
}
