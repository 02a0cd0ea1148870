/* The floor of the benchmarks: what a datagram costs when nobody looks at it.
 *
 *   echo mmsg      recvmmsg and sendmmsg, up to 64 datagrams a call
 *   echo single    recvfrom and sendto
 *   echo sink      recvmmsg; answers a PING alone, so that the load knows how far it has come
 *
 * It binds 127.0.0.1 and a free port, prints that, and runs until it is killed. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, BYTES = 2048, RECEIVE_BUFFER = 4 << 20 };

static char buffers[BATCH][BYTES];
static struct sockaddr_in sources[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];

static int receive(int fd)
{
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ buffers[i], BYTES };
		messages[i].msg_hdr = (struct msghdr){ .msg_name = &sources[i], .msg_namelen = sizeof sources[i],
			.msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
	return recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
}

static void echo_many(int fd)
{
	for (;;) {
		int count = receive(fd);
		for (int i = 0; i < count; i++)
			vectors[i].iov_len = messages[i].msg_len;
		for (int sent = 0; sent < count;) {
			int now = sendmmsg(fd, messages + sent, count - sent, 0);
			sent += now > 0 ? now : 1;
		}
	}
}

static void echo_single(int fd)
{
	for (;;) {
		struct sockaddr_in from;
		socklen_t length = sizeof from;
		ssize_t bytes = recvfrom(fd, buffers[0], BYTES, 0, (struct sockaddr *)&from, &length);
		if (bytes >= 0)
			sendto(fd, buffers[0], bytes, 0, (struct sockaddr *)&from, length);
	}
}

static void sink(int fd)
{
	for (;;) {
		int count = receive(fd);
		for (int i = 0; i < count; i++)
			if (messages[i].msg_len >= 4 && memcmp(buffers[i], "RT\1\1", 4) == 0)
				sendto(fd, buffers[i], messages[i].msg_len, 0, (struct sockaddr *)&sources[i],
					sizeof sources[i]);
	}
}

int main(int argc, char **argv)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), asked = RECEIVE_BUFFER;
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof here;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &asked, sizeof asked);
	if (fd < 0 || bind(fd, (struct sockaddr *)&here, length) || getsockname(fd, (struct sockaddr *)&here, &length)) {
		perror("echo");
		return 1;
	}
	printf("listening on 127.0.0.1:%d (udp)\n", ntohs(here.sin_port));
	fflush(stdout);
	const char *mode = argc > 1 ? argv[1] : "";
	if (!strcmp(mode, "mmsg"))
		echo_many(fd);
	else if (!strcmp(mode, "single"))
		echo_single(fd);
	else if (!strcmp(mode, "sink"))
		sink(fd);
	fputs("usage: echo mmsg|single|sink\n", stderr);
	return 2;
}
