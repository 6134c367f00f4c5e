// SPDX-License-Identifier: Apache-2.0
#include "cli.h"

#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "elf_builder.h"

namespace
{

struct Stream {
	int read = -1;
	int write = -1;

	void open(bool pty)
	{
		int fds[2];
		if (pty) {
			if (openpty(&read, &write, nullptr, nullptr, nullptr) != 0) {
				throw std::runtime_error("openpty");
			}
		} else if (pipe2(fds, 0) == 0) {
			read = fds[0];
			write = fds[1];
		} else {
			throw std::runtime_error("pipe");
		}
		fcntl(read, F_SETFD, FD_CLOEXEC);
	}
	void drain(std::string *into)
	{
		char chunk[65536];
		ssize_t n;
		// A terminal whose other side is closed gives EIO.
		while ((n = ::read(read, chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR)) {
			into->append(chunk, n > 0 ? static_cast<size_t>(n) : 0);
		}
		::close(read);
	}
};

[[noreturn]] void child(const std::vector<std::string> &args, const RunOptions &options, int in,
			int out, int err)
{
	std::vector<char *> argv = {const_cast<char *>("lychgate")};

	for (const std::string &arg : args) {
		argv.push_back(const_cast<char *>(arg.c_str()));
	}
	argv.push_back(nullptr);
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	for (int fd = 3; fd < 256; fd++) {
		close(fd);
	}
	for (int fd : options.closed) {
		close(fd);
	}
	signal(SIGPIPE, options.ignore_sigpipe ? SIG_IGN : SIG_DFL);
	unsetenv("NO_COLOR");
	unsetenv("TERM");
	for (const auto &[name, value] : options.environ) {
		setenv(name.c_str(), value.c_str(), 1);
	}
	if (options.no_dac_override) {
		prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);
		prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH);
	}
	if (options.no_proc &&
	    ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
	     mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
	     mount("none", "/proc", "tmpfs", 0, nullptr) != 0)) {
		_exit(kCannot);
	}
	if (options.cwd.empty() || chdir(options.cwd.c_str()) == 0) {
		execv(LYCHGATE_COMMAND, argv.data());
	}
	_exit(127);
}

} // namespace

Outcome lychgate(const std::vector<std::string> &args, const RunOptions &options)
{
	Stream in;
	Stream out;
	Stream err;
	struct rusage usage = {};
	int status = 0;
	int out_fd = -1;
	Outcome run;

	in.open(false);
	out.open(options.out_is_pty);
	err.open(options.err_is_pty);
	fcntl(in.write, F_SETFD, FD_CLOEXEC);
	fcntl(in.read, F_SETFD, 0);
	if (!options.output.empty()) {
		out_fd = open(options.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			      0666);
	}
	pid_t pid = fork();
	if (pid == 0) {
		child(args, options, in.read, out_fd >= 0 ? out_fd : out.write, err.write);
	}
	close(in.read);
	close(out.write);
	close(err.write);
	close(out_fd);
	if (options.closed_pipe) {
		close(out.read);
	}
	std::thread read_out([&] {
		if (!options.closed_pipe) {
			out.drain(&run.out);
		}
	});
	std::thread read_err([&] { err.drain(&run.err); });
	std::thread feed([&] {
		signal(SIGPIPE, SIG_IGN);
		size_t done = 0;
		ssize_t n = 0;
		while (done < options.input.size() &&
		       (n = write(in.write, &options.input[done], options.input.size() - done)) >
			       0) {
			done += static_cast<size_t>(n);
		}
		std::this_thread::sleep_for(std::chrono::duration<double>(options.hold_input_s));
		close(in.write);
	});
	feed.join();
	read_out.join();
	read_err.join();
	wait4(pid, &status, 0, &usage);
	run.max_rss_kib = usage.ru_maxrss;
	if (WIFEXITED(status)) {
		run.exit_code = WEXITSTATUS(status);
	} else {
		run.signal = WTERMSIG(status);
	}
	return run;
}

std::ostream &operator<<(std::ostream &stream, const Outcome &run)
{
	return stream << "exit code " << run.exit_code << ", signal " << run.signal
		      << "\n--- stdout\n"
		      << run.out.substr(0, 4000) << "\n--- stderr\n"
		      << run.err.substr(0, 4000) << "\n---\n";
}

Tree::Tree()
{
	char name[] = "/tmp/lych-cli-XXXXXX";
	if (mkdtemp(name) == nullptr) {
		throw std::runtime_error("mkdtemp");
	}
	root_ = name;
}

Tree::~Tree()
{
	// Directories first made writable, from the top; then everything away, from the bottom.
	nftw(
		root_.c_str(),
		[](const char *path, const struct stat *, int type, struct FTW *) {
			return type == FTW_D || type == FTW_DNR ? (chmod(path, 0700), 0) : 0;
		},
		64, FTW_PHYS);
	std::string command = "rm -rf -- '" + root_ + "'"; // takes trees deeper than PATH_MAX, too
	if (system(command.c_str()) != 0) {
		ADD_FAILURE() << root_ << " is left";
	}
}

std::string Tree::path(const std::string &name) const
{
	return name.empty() ? root_ : root_ + "/" + name;
}

std::string Tree::dir(const std::string &name) const
{
	for (size_t i = 0; i != std::string::npos; i = name.find('/', i + 1)) {
		if (i != 0) {
			mkdir(path(name.substr(0, i)).c_str(), 0777);
		}
	}
	mkdir(path(name).c_str(), 0777);
	return path(name);
}

std::string Tree::link(const std::string &name, const std::string &target) const
{
	if (symlink(target.c_str(), path(name).c_str()) != 0) {
		throw std::runtime_error("cannot make " + path(name));
	}
	return path(name);
}

std::string Tree::text(const std::string &name, const std::string &data) const
{
	size_t slash = name.rfind('/');
	if (slash != std::string::npos) {
		dir(name.substr(0, slash));
	}
	std::ofstream stream(path(name), std::ios::binary);
	stream << data;
	stream.close();
	if (!stream) {
		throw std::runtime_error("cannot write " + path(name));
	}
	return path(name);
}

std::string Tree::file(const std::string &name, const std::vector<uint8_t> &data) const
{
	return text(name, std::string(data.begin(), data.end()));
}

std::string read_text(const std::string &path)
{
	std::ifstream stream(path, std::ios::binary);
	std::ostringstream text;
	text << stream.rdbuf();
	return text.str();
}

std::vector<std::string> lines_of(const std::string &text)
{
	std::vector<std::string> lines;
	std::istringstream stream(text);
	for (std::string line; std::getline(stream, line);) {
		lines.push_back(line);
	}
	return lines;
}

size_t count_of(const std::string &text, const std::string &part)
{
	size_t n = 0;
	for (size_t i = text.find(part); i != std::string::npos;
	     i = text.find(part, i + part.size())) {
		n++;
	}
	return n;
}

std::vector<uint8_t> elf_with(const std::vector<uint8_t> &code,
			      const std::vector<uint8_t> &build_id)
{
	ElfBuilder elf;
	std::vector<uint8_t> note;

	elf.segment(PF_R | PF_X, 0x1000, 0x1000, code.size());
	elf.program_header(PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0);
	elf.bytes(0x1000, code);
	elf.section(".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, 0x1000, code.size());
	if (!build_id.empty()) {
		Elf64_Nhdr header = {4, static_cast<Elf64_Word>(build_id.size()), NT_GNU_BUILD_ID};
		note.insert(note.end(), reinterpret_cast<uint8_t *>(&header),
			    reinterpret_cast<uint8_t *>(&header) + sizeof(header));
		for (char c : {'G', 'N', 'U', '\0'}) {
			note.push_back(static_cast<uint8_t>(c));
		}
		note.insert(note.end(), build_id.begin(), build_id.end());
		note.resize((note.size() + 3) & ~size_t{3});
		elf.bytes(0x800, note);
		elf.program_header(PT_LOAD, PF_R, 0, 0, 0x900, 0x900);
		elf.program_header(PT_NOTE, PF_R, 0x800, 0x800, note.size(), note.size());
	}
	return elf.build();
}

std::vector<uint8_t> stray_code()
{
	return {0x31, 0xc0, 0x0f, 0x01, 0xef, 0xc3};
}

std::vector<uint8_t> clean_code()
{
	return {0x31, 0xc0, 0xc3};
}

Json parse_json(const std::string &text)
{
	json_error_t error;
	Json value(json_loadb(text.data(), text.size(), JSON_DECODE_ANY, &error), json_decref);
	if (value == nullptr) {
		ADD_FAILURE() << "not JSON: " << error.text << " at " << error.line << ":"
			      << error.column << "\n"
			      << text.substr(0, 2000);
	}
	return value;
}

json_t *at(const json_t *value, const std::string &path)
{
	json_t *now = const_cast<json_t *>(value);
	std::istringstream stream(path);
	for (std::string part; now != nullptr && std::getline(stream, part, '/');) {
		now = json_is_array(now) ? json_array_get(now, std::stoul(part))
					 : json_object_get(now, part.c_str());
	}
	return now;
}

std::string string_at(const json_t *value, const std::string &path)
{
	const char *text = json_string_value(at(value, path));
	return text != nullptr ? text : "(none)";
}

std::vector<Json> records(const std::string &text, const std::string &type)
{
	std::vector<Json> list;
	for (const std::string &line : lines_of(text)) {
		Json value = parse_json(line);
		if (value != nullptr && (type.empty() || string_at(value, "type") == type)) {
			list.push_back(std::move(value));
		}
	}
	return list;
}
