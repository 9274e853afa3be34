/* thread_exits: children with two threads that end in the ways that differ from one thread's.
 *   group    another thread calls exit_group(9) while the leader sleeps
 *   last     the leader ends with exit(3), and 20 ms later the other thread with exit(5); which of the
 *            two the parent is told depends on the kernel (5 from Linux 6.0 or so on)
 *   killed   SIGKILL while both sleep
 * Expected: code or signal as printed; "last" lasts 20 ms at least.
 * Prints {"self", "group", "last", "killed", "codes": {...}}. */
#include "starter.h"
#include <pthread.h>
#include <signal.h>

static void *other(void *what)
{
	switch (*(const char *)what) {
	case 'g':
		sleep_ms(5);
		syscall(SYS_exit_group, 9);
		break;
	case 'l':
		sleep_ms(20);
		syscall(SYS_exit, 5);
		break;
	}
	pause();
	return NULL;
}

static pid_t start(const char *what)
{
	pid_t child = fork();
	pthread_t thread;

	if (child < 0)
		die("fork");
	if (child > 0)
		return child;
	if (pthread_create(&thread, NULL, other, (void *)what))
		_exit(1);
	if (*what == 'l')
		syscall(SYS_exit, 3);
	for (;;)
		pause();
}

int main(void)
{
	pid_t group = start("group"), last = start("last"), killed = start("killed");
	int group_status, last_status, killed_status;

	sleep_ms(5);
	kill(killed, SIGKILL);
	killed_status = reap(killed);
	group_status = reap(group);
	last_status = reap(last);
	printf("{\"self\": %d, \"group\": %d, \"last\": %d, \"killed\": %d, "
	       "\"codes\": {\"group\": %d, \"last\": %d, \"killed_by\": %d}}\n",
	       getpid(), group, last, killed, WEXITSTATUS(group_status), WEXITSTATUS(last_status),
	       WTERMSIG(killed_status));
	return 0;
}
