/* failed_execs: three children whose execs fail in different ways, in a folder of their own.
 *   path_walk: execvp(3) over a PATH of two folders that do not exist, one where the file has no
 *              execute bit, one where it is a link to /bin/true: ENOENT, ENOENT, EACCES, success
 *   noexec:    execv of an executable file that is no program: ENOEXEC, then /bin/true
 *   never:     one execv of a missing file: ENOENT, then _exit(127)
 * Expected: exactly those errors, in that order, in each start's execs; setup holds their time.
 * Prints {"self", "path_walk", "noexec", "never"}. */
#include "starter.h"
#include <sys/stat.h>

#define NAME "startrace-probe"

static void path_in(char *out, size_t size, const char *folder, const char *name)
{
	if (snprintf(out, size, "%s/%s", folder, name) >= (int)size) {
		errno = ENAMETOOLONG;
		die("path");
	}
}

static void write_file(const char *path, mode_t mode)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);

	if (fd < 0 || write(fd, "no program\n", 11) != 11 || fchmod(fd, mode) < 0 || close(fd) < 0)
		die(path);
}

int main(void)
{
	char folder[] = "/tmp/startrace-failed-execs-XXXXXX";
	char denied[100], good[100], denied_file[200], good_file[200], noexec_file[100], path[500];
	pid_t walk, noexec, never;
	int status;

	if (!mkdtemp(folder))
		die("mkdtemp");
	path_in(denied, sizeof denied, folder, "denied");
	path_in(good, sizeof good, folder, "good");
	if (mkdir(denied, 0755) < 0 || mkdir(good, 0755) < 0)
		die("mkdir");
	path_in(denied_file, sizeof denied_file, denied, NAME);
	path_in(good_file, sizeof good_file, good, NAME);
	path_in(noexec_file, sizeof noexec_file, folder, "noexec");
	write_file(denied_file, 0644);
	write_file(noexec_file, 0755);
	if (symlink(TRUE_PATH, good_file) < 0)
		die("symlink");
	snprintf(path, sizeof path, "%s/missing-1:%s/missing-2:%s:%s", folder, folder, denied, good);

	walk = fork();
	if (walk < 0)
		die("fork");
	if (walk == 0) {
		char *argv[] = { NAME, "path_walk", NULL };

		setenv("PATH", path, 1);
		execvp(NAME, argv);
		_exit(126);
	}
	reap_ok(walk);

	noexec = fork();
	if (noexec < 0)
		die("fork");
	if (noexec == 0) {
		char *argv[] = { "noexec", NULL };

		execv(noexec_file, argv);
		if (errno != ENOEXEC)
			_exit(126);
		exec_true("noexec");
	}
	reap_ok(noexec);

	never = fork();
	if (never < 0)
		die("fork");
	if (never == 0) {
		char *argv[] = { "missing", NULL };
		char missing[100];

		path_in(missing, sizeof missing, folder, "missing-3");
		execv(missing, argv);
		_exit(127);
	}
	status = reap(never);

	unlink(denied_file);
	unlink(good_file);
	unlink(noexec_file);
	rmdir(denied);
	rmdir(good);
	rmdir(folder);
	printf("{\"self\": %d, \"path_walk\": %d, \"noexec\": %d, \"never\": %d}\n", getpid(), walk,
	       noexec, never);
	return WEXITSTATUS(status) == 127 ? 0 : 1;
}
