/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of clients: internet streams and datagrams, that connect, send and receive. Nothing listens, no address is
 * bound, and no descriptor, credential or page of memory goes through one.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "../memory/memory.h"
#include "files_parts.h"

#define MESSAGES 16  /* of sendmmsg and recvmmsg */
#define CONTROL 256  /* bytes of control data that are received */
#define OPTION 128
#define SEND_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_EOR | MSG_CONFIRM)
#define RECEIVE_FLAGS \
	(MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC | MSG_WAITALL | MSG_CMSG_CLOEXEC | MSG_ERRQUEUE | MSG_WAITFORONE)

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		uint8_t bytes[sizeof(struct sockaddr_storage)];
	} u;
	socklen_t bytes;
};

/* What may be set, and by how many bytes. */
static const struct {
	int level, name;
	bool set;
} options[] = {
	{SOL_SOCKET, SO_ERROR, false},
	{SOL_SOCKET, SO_TYPE, false},
	{SOL_SOCKET, SO_DOMAIN, false},
	{SOL_SOCKET, SO_PROTOCOL, false},
	{SOL_SOCKET, SO_ACCEPTCONN, false},
	{SOL_SOCKET, SO_KEEPALIVE, true},
	{SOL_SOCKET, SO_REUSEADDR, true},
	{SOL_SOCKET, SO_SNDBUF, true},
	{SOL_SOCKET, SO_RCVBUF, true},
	{SOL_SOCKET, SO_LINGER, true}, /* not to wait: lingers */
	{IPPROTO_TCP, TCP_NODELAY, true},
	{IPPROTO_TCP, TCP_CORK, true},
	{IPPROTO_TCP, TCP_KEEPIDLE, true},
	{IPPROTO_TCP, TCP_KEEPINTVL, true},
	{IPPROTO_TCP, TCP_KEEPCNT, true},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, true},
	{IPPROTO_TCP, TCP_MAXSEG, false},
	{IPPROTO_TCP, TCP_INFO, false},
	{IPPROTO_IP, IP_TOS, true},
	{IPPROTO_IP, IP_TTL, true},
	{IPPROTO_IP, IP_RECVERR, true},
	{IPPROTO_IP, IP_MTU_DISCOVER, true},
	{IPPROTO_IP, IP_MTU, false},
	{IPPROTO_IPV6, IPV6_V6ONLY, true},
	{IPPROTO_IPV6, IPV6_RECVERR, true},
	{IPPROTO_IPV6, IPV6_TCLASS, true},
	{IPPROTO_IPV6, IPV6_UNICAST_HOPS, true},
	{IPPROTO_IPV6, IPV6_MTU_DISCOVER, true},
	{IPPROTO_IPV6, IPV6_MTU, false},
};

static long socket_hold(const struct answer *a, struct file **out)
{
	struct file *f = file_hold(a->l, a->call->arg[0]);

	if (f == NULL) {
		return -EBADF;
	}
	if (f->kind != FILE_SOCKET) {
		file_drop(a->l, f);
		return -ENOTSOCK;
	}
	*out = f;
	return 0;
}

/* ---- making and connecting ------------------------------------------------------------------ */

static long do_socket(const struct answer *a)
{
	int family = low_int(a->call->arg[0]), type = low_int(a->call->arg[1]), protocol = low_int(a->call->arg[2]);
	int kind = type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK);
	bool stream = kind == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP);
	bool datagram = kind == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP);

	if (family != AF_INET && family != AF_INET6) {
		mediator_refused(a->l->domain, a->call);
		return -EAFNOSUPPORT;
	}
	if (!stream && !datagram) {
		mediator_refused(a->l->domain, a->call);
		return -EPROTONOSUPPORT;
	}
	long real = sys3(SYS_socket, family, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	/* SOCK_CLOEXEC and SOCK_NONBLOCK are O_CLOEXEC and O_NONBLOCK */
	return real < 0 ? real : file_new(a->l, (int)real, FILE_SOCKET, NULL, type);
}

/* An address of the domain's, copied and of a family that its sockets have. */
static long address_read(const struct answer *a, struct address *to, uint64_t at, uint64_t bytes)
{
	memset(to, 0, sizeof(*to));
	if (low_int(bytes) < (int)sizeof(to->u.any.sa_family) || (uint32_t)bytes > sizeof(to->u)) {
		return -EINVAL;
	}
	long rc = inside_read(a->l, &to->u, at, (uint32_t)bytes);
	if (rc != 0) {
		return rc;
	}
	sa_family_t family = to->u.any.sa_family;
	to->bytes = (socklen_t)bytes;
	return family == AF_INET || family == AF_INET6 || family == AF_UNSPEC ? 0 : -EAFNOSUPPORT;
}

static long do_connect(const struct answer *a, struct file *f)
{
	struct address to;
	long rc = address_read(a, &to, a->call->arg[1], a->call->arg[2]);

	if (rc != 0) {
		return rc;
	}
	rc = sys3(SYS_connect, f->real, &to.u, to.bytes);
	if (rc != -EINPROGRESS || atomic_load(&f->nonblock)) {
		return rc;
	}
	rc = file_wait(a, f, POLLOUT, INT64_MAX);
	if (rc < 0) {
		return rc;
	}
	int error = 0;
	socklen_t bytes = sizeof(error);
	rc = sys5(SYS_getsockopt, f->real, SOL_SOCKET, SO_ERROR, &error, &bytes);
	return rc != 0 ? rc : -error;
}

/* Stores an address as the kernel does: as much as there is room for, and how long it is. */
static long address_write(const struct answer *a, const struct address *from, uint64_t at, uint64_t bytes_at)
{
	socklen_t room;
	long rc = inside_read(a->l, &room, bytes_at, sizeof(room));

	if (rc != 0) {
		return rc;
	}
	if ((int)room < 0) {
		return -EINVAL;
	}
	room = room < from->bytes ? room : from->bytes;
	rc = room > 0 ? inside_write(a->l, at, &from->u, room) : 0;
	return rc != 0 ? rc : inside_write(a->l, bytes_at, &from->bytes, sizeof(from->bytes));
}

static long do_name(const struct answer *a, struct file *f)
{
	struct address is = {.bytes = sizeof(is.u)};
	long rc = sys3(a->call->nr, f->real, &is.u, &is.bytes);

	return rc != 0 ? rc : address_write(a, &is, a->call->arg[1], a->call->arg[2]);
}

/* ---- options -------------------------------------------------------------------------------- */

static bool option_allowed(int level, int name, bool set)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (options[i].level == level && options[i].name == name) {
			return !set || options[i].set;
		}
	}
	return false;
}

/*
 * Then close would wait until the other side has taken everything, for as long as the domain has said, even of a socket that never
 * blocks: and it is the runtime that closes what a domain leaves behind, with a lock that all threads of the process need.
 */
static bool lingers(const uint8_t value[OPTION])
{
	struct linger linger;

	memcpy(&linger, value, sizeof(linger));
	return linger.l_onoff != 0 && linger.l_linger != 0;
}

static long do_option(const struct answer *a, struct file *f)
{
	const uint64_t *arg = a->call->arg;
	bool set = a->call->nr == SYS_setsockopt;
	uint8_t value[OPTION] = {0};
	socklen_t bytes = (socklen_t)arg[4];
	long rc;

	if (!option_allowed(low_int(arg[1]), low_int(arg[2]), set)) {
		mediator_refused(a->l->domain, a->call);
		return -ENOPROTOOPT;
	}
	if (set) {
		if (bytes > sizeof(value)) {
			return -EINVAL;
		}
		rc = bytes > 0 ? inside_read(a->l, value, arg[3], bytes) : 0;
		if (rc == 0 && low_int(arg[1]) == SOL_SOCKET && low_int(arg[2]) == SO_LINGER && lingers(value)) {
			mediator_refused(a->l->domain, a->call);
			return -ENOPROTOOPT;
		}
		return rc != 0 ? rc : sys5(SYS_setsockopt, f->real, low_int(arg[1]), low_int(arg[2]), value, bytes);
	}
	rc = inside_read(a->l, &bytes, arg[4], sizeof(bytes));
	if (rc != 0) {
		return rc;
	}
	if ((int)bytes < 0) {
		return -EINVAL;
	}
	bytes = bytes < sizeof(value) ? bytes : sizeof(value);
	rc = sys5(SYS_getsockopt, f->real, low_int(arg[1]), low_int(arg[2]), value, &bytes);
	rc = rc == 0 && bytes > 0 ? inside_write(a->l, arg[3], value, bytes) : rc;
	return rc != 0 ? rc : inside_write(a->l, arg[4], &bytes, sizeof(bytes));
}

/* ---- messages ------------------------------------------------------------------------------- */

/* A message whose data lies in the arena, and all else of which is ours. */
struct message {
	struct msghdr real, theirs;
	struct iovec iov[PIECES];
	struct address address;
	uint8_t control[CONTROL];
};

static long message_read(const struct answer *a, struct message *m, uint64_t at, bool send)
{
	uint64_t bytes;
	long n = inside_read(a->l, &m->theirs, at, sizeof(m->theirs));

	memset(&m->real, 0, sizeof(m->real));
	if (n != 0) {
		return n;
	}
	if (m->theirs.msg_iovlen > PIECES) {
		return -EMSGSIZE;
	}
	n = vector_read(a, m->iov, (uintptr_t)m->theirs.msg_iov, m->theirs.msg_iovlen, &bytes);
	if (n < 0) {
		return n;
	}
	m->real.msg_iov = m->iov;
	m->real.msg_iovlen = (size_t)n;
	if (send) {
		if (m->theirs.msg_control != NULL && m->theirs.msg_controllen != 0) {
			mediator_refused(a->l->domain, a->call);
			return -EPERM;
		}
		if (m->theirs.msg_name != NULL) {
			n = address_read(a, &m->address, (uintptr_t)m->theirs.msg_name, m->theirs.msg_namelen);
			m->real.msg_name = &m->address.u;
			m->real.msg_namelen = m->address.bytes;
		}
		return n < 0 ? n : 0;
	}
	m->real.msg_name = &m->address.u;
	m->real.msg_namelen = sizeof(m->address.u);
	/* The kernel leaves out what lies between two of them, and behind the last one. */
	memset(m->control, 0, sizeof(m->control));
	m->real.msg_control = m->control;
	m->real.msg_controllen = sizeof(m->control);
	if (m->theirs.msg_controllen < sizeof(m->control)) {
		m->real.msg_controllen = m->theirs.msg_controllen;
	}
	return 0;
}

/* What was received beside the data. */
static long message_write(const struct answer *a, struct message *m, uint64_t at)
{
	socklen_t room = m->theirs.msg_namelen < m->real.msg_namelen ? m->theirs.msg_namelen : m->real.msg_namelen;
	long rc = 0;

	if (m->theirs.msg_name != NULL && room > 0) {
		rc = inside_write(a->l, (uintptr_t)m->theirs.msg_name, &m->address.u, room);
	}
	if (rc == 0 && m->theirs.msg_control != NULL && m->real.msg_controllen > 0) {
		rc = inside_write(a->l, (uintptr_t)m->theirs.msg_control, m->control, m->real.msg_controllen);
	}
	m->theirs.msg_namelen = m->real.msg_namelen;
	m->theirs.msg_controllen = m->real.msg_controllen;
	m->theirs.msg_flags = m->real.msg_flags;
	return rc != 0 ? rc : inside_write(a->l, at, &m->theirs, sizeof(m->theirs));
}

/* MSG_DONTWAIT is the domain's wish, and MSG_WAITALL one to wait until all is there. */
static long transfer(const struct answer *a, struct file *f, struct msghdr *real, int flags, bool send)
{
	short events = send ? POLLOUT : POLLIN;
	int kernels = (flags & ~(MSG_WAITALL | MSG_WAITFORONE)) | (send ? MSG_NOSIGNAL : 0);
	const struct iovec *iov = real->msg_iov;
	bool plain = real->msg_iovlen == 1 && real->msg_name == NULL && real->msg_control == NULL;
	long nr = send ? (plain ? SYS_sendto : SYS_sendmsg) : plain ? SYS_recvfrom : SYS_recvmsg;
	long p1 = plain ? (long)iov->iov_base : (long)real, p2 = plain ? (long)iov->iov_len : kernels;
	long p3 = plain ? kernels : 0;

	if (flags & ~(send ? SEND_FLAGS : RECEIVE_FLAGS)) {
		mediator_refused(a->l->domain, a->call);
		return -EOPNOTSUPP;
	}
	if (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) {
		return arena_call(a, nr, f->real, p1, p2, p3, 0, 0);
	}
	return file_call(a, f, events, nr, p1, p2, p3, 0, 0);
}

/* Again and again, for MSG_WAITALL of a stream: data that is there is not given back for want of the rest. */
static long receive_all(const struct answer *a, struct file *f, struct message *m, int flags)
{
	struct iovec *iov = m->iov;
	long got = 0;

	for (;;) {
		long n = transfer(a, f, &m->real, flags, false);
		if (n <= 0) {
			return got > 0 ? got : n;
		}
		got += n;
		if (!(flags & MSG_WAITALL) || (flags & MSG_PEEK) || m->real.msg_namelen != 0) {
			return got; /* a datagram has a sender */
		}
		while (m->real.msg_iovlen > 0 && (size_t)n >= iov->iov_len) {
			n -= (long)iov->iov_len;
			iov++;
			m->real.msg_iov = iov;
			m->real.msg_iovlen--;
		}
		if (m->real.msg_iovlen == 0) {
			return got;
		}
		iov->iov_base = (char *)iov->iov_base + n;
		iov->iov_len -= (size_t)n;
		m->real.msg_control = NULL;
		m->real.msg_controllen = 0;
	}
}

static long do_message(const struct answer *a, struct file *f, uint64_t at, int flags, bool send)
{
	struct message m;
	long rc = message_read(a, &m, at, send);

	if (rc != 0) {
		return rc;
	}
	if (send) {
		return transfer(a, f, &m.real, flags, true);
	}
	long n = receive_all(a, f, &m, flags);
	rc = n >= 0 ? message_write(a, &m, at) : 0;
	return rc != 0 ? rc : n;
}

/* sendto and recvfrom: a message of one piece. */
static long do_one(const struct answer *a, struct file *f, bool send)
{
	const uint64_t *arg = a->call->arg;
	struct message m;
	long rc = 0;

	memset(&m.real, 0, sizeof(m.real));
	if (arg[2] > 0x7ffff000 || outside(a, arg[1], arg[2])) {
		return -EFAULT;
	}
	m.iov[0] = (struct iovec){arg[2] != 0 ? (void *)(uintptr_t)arg[1] : NULL, arg[2]};
	m.real.msg_iov = m.iov;
	m.real.msg_iovlen = 1;
	if (send) {
		if (arg[4] != 0) {
			rc = address_read(a, &m.address, arg[4], arg[5]);
			m.real.msg_name = &m.address.u;
			m.real.msg_namelen = m.address.bytes;
		}
		return rc != 0 ? rc : transfer(a, f, &m.real, low_int(arg[3]), true);
	}
	if (arg[4] != 0 || low_int(arg[3]) & MSG_WAITALL) {
		m.real.msg_name = &m.address.u;
		m.real.msg_namelen = sizeof(m.address.u);
	}
	long n = receive_all(a, f, &m, low_int(arg[3]));
	if (n >= 0 && arg[4] != 0) {
		m.address.bytes = m.real.msg_namelen;
		rc = address_write(a, &m.address, arg[4], arg[5]);
	}
	return rc != 0 ? rc : n;
}

/* Some at once: what was done before one failed is done. recvmmsg has no time limit: it takes what is there. */
static long do_many(const struct answer *a, struct file *f, bool send)
{
	const uint64_t *arg = a->call->arg;
	uint32_t n = (uint32_t)arg[2] < MESSAGES ? (uint32_t)arg[2] : MESSAGES, done = 0;
	int flags = low_int(arg[3]);
	long rc = 0;

	for (; done < n; done++) {
		uint64_t at = arg[1] + done * sizeof(struct mmsghdr);
		rc = do_message(a, f, at, done > 0 && !send ? flags | MSG_DONTWAIT : flags, send);
		if (rc < 0) {
			break;
		}
		uint32_t bytes = (uint32_t)rc;
		rc = inside_write(a->l, at + offsetof(struct mmsghdr, msg_len), &bytes, sizeof(bytes));
		if (rc != 0) {
			break;
		}
	}
	return done > 0 ? (long)done : rc;
}

static long answer_socket(const struct answer *a, struct file *f)
{
	const uint64_t *arg = a->call->arg;

	switch (a->call->nr) {
	case SYS_connect:
		return do_connect(a, f);
	case SYS_shutdown:
		return sys2(SYS_shutdown, f->real, low_int(arg[1]));
	case SYS_getsockname:
	case SYS_getpeername:
		return do_name(a, f);
	case SYS_setsockopt:
	case SYS_getsockopt:
		return do_option(a, f);
	case SYS_sendto:
		return do_one(a, f, true);
	case SYS_recvfrom:
		return do_one(a, f, false);
	case SYS_sendmsg:
		return do_message(a, f, arg[1], low_int(arg[2]), true);
	case SYS_recvmsg:
		return do_message(a, f, arg[1], low_int(arg[2]), false);
	case SYS_sendmmsg:
		return do_many(a, f, true);
	default: /* SYS_recvmmsg */
		return do_many(a, f, false);
	}
}

bool sockets_call(const struct answer *a, long *result)
{
	struct file *f;

	switch (a->call->nr) {
	case SYS_socket:
		*result = do_socket(a);
		return true;
	case SYS_connect:
	case SYS_shutdown:
	case SYS_getsockname:
	case SYS_getpeername:
	case SYS_setsockopt:
	case SYS_getsockopt:
	case SYS_sendto:
	case SYS_recvfrom:
	case SYS_sendmsg:
	case SYS_recvmsg:
	case SYS_sendmmsg:
	case SYS_recvmmsg:
		*result = socket_hold(a, &f);
		if (*result == 0) {
			*result = answer_socket(a, f);
			file_drop(a->l, f);
		}
		return true;
	default:
		return false;
	}
}
