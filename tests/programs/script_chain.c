/* script_chain: two children that execute scripts, in a folder of their own.
 *   nested: a script whose interpreter is a script whose interpreter is /bin/sh: one exec call,
 *           the kernel walks the chain
 *   env:    a script with "#!/usr/bin/env sh": two execs in one process, env and then sh
 * Expected: nested has one exec with an interpreter, env two (the first with interpreter
 * /usr/bin/env), each one start with exit code 0.
 * Prints {"self", "nested", "env", "folder"}; the folder is gone by then. */
#include "starter.h"
#include <sys/stat.h>

static void write_script(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);

	if (fd < 0 || dprintf(fd, "%s", text) < 0 || fchmod(fd, 0755) < 0 || close(fd) < 0)
		die(path);
}

static pid_t run(char *path, char *mark)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child == 0) {
		char *argv[] = { path, mark, NULL };

		execv(path, argv);
		die("execv of a script");
	}
	reap_ok(child);
	return child;
}

int main(void)
{
	char folder[] = "/tmp/startrace-scripts-XXXXXX";
	char outer[100], inner[100], env[100], text[200];
	pid_t nested_pid, env_pid;

	if (!mkdtemp(folder))
		die("mkdtemp");
	snprintf(outer, sizeof outer, "%s/outer", folder);
	snprintf(inner, sizeof inner, "%s/inner", folder);
	snprintf(env, sizeof env, "%s/env", folder);
	snprintf(text, sizeof text, "#!%s an-argument\n", inner);
	write_script(outer, text);
	write_script(inner, "#!/bin/sh\nexit 0\n");
	write_script(env, "#!/usr/bin/env sh\nexit 0\n");

	nested_pid = run(outer, "nested");
	env_pid = run(env, "env");

	unlink(outer);
	unlink(inner);
	unlink(env);
	rmdir(folder);
	printf("{\"self\": %d, \"nested\": %d, \"env\": %d, \"folder\": \"%s\"}\n", getpid(),
	       nested_pid, env_pid, folder);
	return 0;
}
