/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process 1 of the PKU machine. It sets the machine up as /lych/run says, runs one program, carries its
 * two streams to two serial ports, reports how it ended on a third and switches the machine off.
 *
 * /lych/run holds items that each end in a NUL byte, `key=value`:
 *
 *   arg    one argument; the first is the program's absolute path
 *   env    one environment variable, K=V
 *   cwd    the working directory
 *   user   numeric user and group id to run as
 *   module a kernel module to load, in order
 *   net    1: give the first network card the address that QEMU's user network forwards to
 *   bind   a path that is on the disk: bound over the same path in the root
 *
 * The program gets pipes and not the serial ports themselves: isatty() must be false, and what one
 * writes to a pipe is what the other end reads, byte for byte.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MAX_ITEMS 4096
#define DISK "/dev/nvme0n1"
#define DISK_ROOT "/lych/disk"

struct plan {
	char *argv[MAX_ITEMS + 1];
	char *envp[MAX_ITEMS + 1];
	char *binds[MAX_ITEMS];
	char *modules[MAX_ITEMS];
	size_t arg_count;
	size_t env_count;
	size_t bind_count;
	size_t module_count;
	const char *cwd;
	unsigned int user;
	int net;
};

static struct plan plan;
static char run_file[1 << 20];

static void power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	/* Without ACPI: QEMU runs with -no-reboot, so that a restart ends it as well. */
	reboot(RB_AUTOBOOT);
	for (;;) {
		pause();
	}
}

/* Ends the machine without a result: the host then shows the console, where the reason stands. */
static void __attribute__((format(printf, 1, 2), noreturn)) give_up(const char *format, ...)
{
	va_list args;
	int error = errno;

	va_start(args, format);
	fputs("guest_init: ", stderr);
	vfprintf(stderr, format, args);
	fprintf(stderr, ": %s\n", strerror(error));
	va_end(args);
	tcdrain(STDERR_FILENO);
	power_off();
	_exit(1);
}

static void mount_or_give_up(const char *source, const char *target, const char *type, unsigned long flags)
{
	mkdir(target, 0755);
	if (mount(source, target, type, flags, NULL) != 0) {
		give_up("mount %s on %s", source, target);
	}
}

static void mount_basics(void)
{
	mount_or_give_up("proc", "/proc", "proc", 0);
	mount_or_give_up("sysfs", "/sys", "sysfs", 0);
	/* The kernel mounts devtmpfs by itself only where there is a root device. */
	mount_or_give_up("devtmpfs", "/dev", "devtmpfs", 0);
	mount_or_give_up("devpts", "/dev/pts", "devpts", 0);
	mount_or_give_up("tmpfs", "/dev/shm", "tmpfs", 0);
	mount("securityfs", "/sys/kernel/security", "securityfs", 0, NULL);
	chmod("/dev/shm", 01777);
	mkdir("/tmp", 01777);
	chmod("/tmp", 01777);
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
}

/* A serial port that changes no byte on the way. */
static int open_port(const char *path)
{
	struct termios mode;
	int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || tcgetattr(fd, &mode) != 0) {
		give_up("%s", path);
	}
	cfmakeraw(&mode);
	cfsetspeed(&mode, B115200);
	mode.c_cflag |= CLOCAL;
	if (tcsetattr(fd, TCSANOW, &mode) != 0) {
		give_up("%s", path);
	}
	return fd;
}

static void write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t done = write(fd, data, size);

		if (done < 0 && errno != EINTR) {
			give_up("write to a serial port");
		}
		if (done > 0) {
			data += done;
			size -= (size_t)done;
		}
	}
}

static void read_plan(void)
{
	int fd = open("/lych/run", O_RDONLY | O_CLOEXEC);
	size_t size = 0;

	if (fd < 0) {
		give_up("/lych/run");
	}
	for (;;) {
		ssize_t got = read(fd, run_file + size, sizeof run_file - 1 - size);

		if (got < 0) {
			give_up("/lych/run");
		}
		if (got == 0) {
			break;
		}
		size += (size_t)got;
	}
	close(fd);
	plan.cwd = "/";
	for (char *item = run_file; item < run_file + size; item += strlen(item) + 1) {
		char *value = strchr(item, '=');

		if (value == NULL || plan.arg_count + plan.env_count + plan.bind_count >= MAX_ITEMS) {
			errno = EINVAL;
			give_up("/lych/run: %s", item);
		}
		value++;
		if (strncmp(item, "arg=", 4) == 0) {
			plan.argv[plan.arg_count++] = value;
		} else if (strncmp(item, "env=", 4) == 0) {
			plan.envp[plan.env_count++] = value;
		} else if (strncmp(item, "bind=", 5) == 0) {
			plan.binds[plan.bind_count++] = value;
		} else if (strncmp(item, "module=", 7) == 0 && plan.module_count < MAX_ITEMS) {
			plan.modules[plan.module_count++] = value;
		} else if (strncmp(item, "cwd=", 4) == 0) {
			plan.cwd = value;
		} else if (strncmp(item, "user=", 5) == 0) {
			plan.user = (unsigned int)strtoul(value, NULL, 10);
		} else if (strncmp(item, "net=", 4) == 0) {
			plan.net = 1;
		} else {
			errno = EINVAL;
			give_up("/lych/run: %s", item);
		}
	}
	if (plan.arg_count == 0) {
		errno = EINVAL;
		give_up("/lych/run: no program");
	}
}

static void load_modules(void)
{
	for (size_t i = 0; i < plan.module_count; i++) {
		int fd = open(plan.modules[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) {
			give_up("module %s", plan.modules[i]);
		}
		close(fd);
	}
}

static void interface_up(int fd, const char *name, const char *address, const char *mask)
{
	struct ifreq request = { 0 };
	struct sockaddr_in in = { .sin_family = AF_INET };

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	inet_pton(AF_INET, address, &in.sin_addr);
	memcpy(&request.ifr_addr, &in, sizeof in);
	if (ioctl(fd, SIOCSIFADDR, &request) != 0) {
		give_up("address of %s", name);
	}
	inet_pton(AF_INET, mask, &in.sin_addr);
	memcpy(&request.ifr_netmask, &in, sizeof in);
	if (ioctl(fd, SIOCSIFNETMASK, &request) != 0) {
		give_up("netmask of %s", name);
	}
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) {
		give_up("%s up", name);
	}
}

/* The first network card, whatever it is called here. */
static const char *card_name(void)
{
	static char name[IFNAMSIZ];
	DIR *directory = opendir("/sys/class/net");

	for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "lo") != 0) {
			snprintf(name, sizeof name, "%.15s", entry->d_name);
			break;
		}
	}
	if (directory != NULL) {
		closedir(directory);
	}
	if (name[0] == '\0') {
		errno = ENODEV;
		give_up("network card");
	}
	return name;
}

static void set_up_network(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		give_up("socket");
	}
	interface_up(fd, "lo", "127.0.0.1", "255.0.0.0");
	if (plan.net) {
		interface_up(fd, card_name(), "10.0.2.15", "255.255.255.0");
	}
	close(fd);
}

static void mount_disk(void)
{
	char source[4096];

	if (plan.bind_count == 0) {
		return;
	}
	/* The controller is probed in the background. */
	for (int i = 0; access(DISK, F_OK) != 0 && i < 3000; i++) {
		usleep(10000);
	}
	mount_or_give_up(DISK, DISK_ROOT, "ext4", 0);
	for (size_t i = 0; i < plan.bind_count; i++) {
		/* The target exists: the host made an empty file or folder where it is to be. */
		snprintf(source, sizeof source, DISK_ROOT "%s", plan.binds[i]);
		if (mount(source, plan.binds[i], NULL, MS_BIND, NULL) != 0) {
			give_up("bind %s", source);
		}
	}
}

static void __attribute__((noreturn)) become_program(const sigset_t *mask, int out, int err)
{
	int in = open("/dev/null", O_RDONLY);

	sigprocmask(SIG_SETMASK, mask, NULL);
	setsid();
	if (in != STDIN_FILENO) {
		dup2(in, STDIN_FILENO);
		close(in);
	}
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	if (chdir(plan.cwd) != 0) {
		perror(plan.cwd);
		_exit(126);
	}
	if (plan.user != 0 &&
	    (setgroups(0, NULL) != 0 || setgid(plan.user) != 0 || setuid(plan.user) != 0)) {
		perror("setuid");
		_exit(126);
	}
	execve(plan.argv[0], plan.argv, plan.envp);
	perror(plan.argv[0]);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Moves what is there from a pipe to a port. False at the end of the stream. */
static int pump(struct pollfd *from, int port)
{
	char buffer[4096];
	ssize_t got = read(from->fd, buffer, sizeof buffer);

	if (got <= 0) {
		close(from->fd);
		from->fd = -1;
		return 0;
	}
	write_all(port, buffer, (size_t)got);
	return 1;
}

/* Collects every process that ended. True when the program is among them. */
static int reap(pid_t program, int *status)
{
	int ended = 0;
	int one;
	pid_t pid;

	while ((pid = waitpid(-1, &one, WNOHANG)) > 0) {
		if (pid == program) {
			*status = one;
			ended = 1;
		}
	}
	return ended;
}

static int run_program(void)
{
	int out[2], err[2];
	int ports[2] = { open_port("/dev/ttyS1"), open_port("/dev/ttyS2") };
	struct pollfd polled[3];
	sigset_t chld, before;
	int status = 0;
	pid_t program;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &before);
	polled[2].fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	if (polled[2].fd < 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
		give_up("pipe");
	}
	program = fork();
	if (program < 0) {
		give_up("fork");
	}
	if (program == 0) {
		become_program(&before, out[1], err[1]);
	}
	close(out[1]);
	close(err[1]);
	polled[0].fd = out[0];
	polled[1].fd = err[0];
	polled[0].events = polled[1].events = polled[2].events = POLLIN;
	while (polled[0].fd >= 0 || polled[1].fd >= 0 || polled[2].fd >= 0) {
		if (poll(polled, 3, -1) < 0) {
			continue;
		}
		for (int i = 0; i < 2; i++) {
			if (polled[i].fd >= 0 && polled[i].revents != 0) {
				pump(&polled[i], ports[i]);
			}
		}
		if (polled[2].fd >= 0 && polled[2].revents != 0) {
			struct signalfd_siginfo drop;

			while (read(polled[2].fd, &drop, sizeof drop) > 0) {
			}
			if (reap(program, &status)) {
				/* What the program left running would hold its pipes open for ever. */
				kill(-1, SIGKILL);
				close(polled[2].fd);
				polled[2].fd = -1;
			}
		}
	}
	tcdrain(ports[0]);
	tcdrain(ports[1]);
	return status;
}

int main(void)
{
	char line[64];
	int console, status, result;

	mount_basics();
	console = open("/dev/console", O_RDWR | O_CLOEXEC);
	dup2(console, STDIN_FILENO);
	dup2(console, STDOUT_FILENO);
	dup2(console, STDERR_FILENO);
	sethostname("lychgate-vm", strlen("lychgate-vm"));
	read_plan();
	load_modules();
	set_up_network();
	mount_disk();
	result = open_port("/dev/ttyS3");
	status = run_program();
	if (WIFSIGNALED(status)) {
		snprintf(line, sizeof line, "signal %d\n", WTERMSIG(status));
	} else {
		snprintf(line, sizeof line, "exit %d\n", WEXITSTATUS(status));
	}
	write_all(result, line, strlen(line));
	tcdrain(result);
	power_off();
}
