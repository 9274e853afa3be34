/* exec_from_thread: a child process starts a thread, and that thread (not the leader) executes
 * /bin/true; the kernel gives it the leader's id.
 * Expected: one start for "child", with one exec and exit code 0; none for "thread".
 * Prints {"self", "child", "thread"}. */
#include "starter.h"
#include <pthread.h>

static int tell;

static void *execute(void *unused)
{
	(void)unused;
	send_pid(tell, (pid_t)syscall(SYS_gettid));
	exec_true("exec_from_thread");
}

int main(void)
{
	pid_t child, thread;
	int fds[2];

	make_pipe(fds);
	tell = fds[1];
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		pthread_t other;

		if (pthread_create(&other, NULL, execute, NULL))
			_exit(1);
		pthread_join(other, NULL);
		_exit(1);
	}
	thread = receive_pid(fds[0]);
	reap_ok(child);
	printf("{\"self\": %d, \"child\": %d, \"thread\": %d}\n", getpid(), child, thread);
	return 0;
}
