// The limit without batching: one thread, epoll, and one send per subscriber and message. It speaks just enough
// WebSocket to be driven by the load generator: it answers every handshake alike, joins a connection to a channel on
// "S<channel>" and sends what follows the first newline of "P<channel>\n<payload>" to every member.
// usage: bare PORT
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 1 << 17, MAX_CHANNELS = 1 << 14, BUCKETS = 1 << 15, NAME = 64, BUFFER = 1 << 18 };

// The answer to the one key that the load generator sends.
static const char handshake[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

typedef struct {
    char name[NAME];
    int *members, count, room;
} channel;

typedef struct {
    unsigned char *rest; // the beginning of a frame whose end has not come yet
    int held, joined, place;
    char open;
} line;

static channel channels[MAX_CHANNELS];
static int channel_count, buckets[BUCKETS];
static line lines[MAX_FD];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int lookup(const char *name, int n) {
    uint32_t h = 2166136261u;
    for (int i = 0; i < n; i++) h = (h ^ (unsigned char)name[i]) * 16777619u;
    for (h %= BUCKETS; buckets[h]; h = (h + 1) % BUCKETS)
        if (!strncmp(channels[buckets[h] - 1].name, name, n) && !channels[buckets[h] - 1].name[n]) return buckets[h] - 1;
    if (n >= NAME || channel_count == MAX_CHANNELS) die("too many channels, or too long a name");
    memcpy(channels[channel_count].name, name, n);
    buckets[h] = ++channel_count;
    return channel_count - 1;
}

// put sends all of b; a full socket makes everybody wait, so that nothing is lost.
static void put(int fd, const unsigned char *b, int n) {
    while (n > 0) {
        int k = send(fd, b, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            if (poll(&p, 1, 5000) <= 0) return;
            continue;
        }
        if (k <= 0) return;
        b += k, n -= k;
    }
}

static void join(int fd, const char *name, int n) {
    int i = lookup(name, n);
    channel *c = &channels[i];
    if (c->count == c->room) {
        c->room = c->room ? 2 * c->room : 16;
        c->members = realloc(c->members, c->room * sizeof(int));
        if (!c->members) die("realloc");
    }
    lines[fd].joined = i + 1;
    lines[fd].place = c->count;
    c->members[c->count++] = fd;
    put(fd, (const unsigned char *)"\x81\x02ok", 4);
}

static void leave(int fd) {
    line *l = &lines[fd];
    if (l->joined) {
        channel *c = &channels[l->joined - 1];
        c->members[l->place] = c->members[--c->count];
        lines[c->members[l->place]].place = l->place;
    }
    free(l->rest);
    memset(l, 0, sizeof *l);
    close(fd);
}

static void publish(const unsigned char *b, int n) {
    static unsigned char frame[BUFFER + 4];
    const unsigned char *end = memchr(b, '\n', n);
    if (!end) return;
    channel *c = &channels[lookup((const char *)b, end - b)];
    const unsigned char *payload = end + 1;
    int size = b + n - payload, head = size < 126 ? 2 : 4;
    frame[0] = 0x81;
    frame[1] = size < 126 ? size : 126;
    if (head == 4) frame[2] = size >> 8, frame[3] = size;
    memcpy(frame + head, payload, size);
    for (int i = 0; i < c->count; i++) put(c->members[i], frame, head + size);
}

// frames handles whole frames and returns how many bytes they took; -1 ends the line.
static int frames(int fd, unsigned char *b, int n) {
    int at = 0;
    for (;;) {
        unsigned char *f = b + at;
        int left = n - at, size, head = 6;
        if (left < 2) return at;
        size = f[1] & 127;
        if (size == 127) return -1;
        if (size == 126) {
            if (left < 4) return at;
            size = f[2] << 8 | f[3], head = 8;
        }
        if (left < head + size) return at;
        for (int i = 0; i < size; i++) f[head + i] ^= f[head - 4 + (i & 3)];
        if ((f[0] & 15) == 8) return -1;
        if ((f[0] & 15) == 1 && size > 0) {
            if (f[head] == 'S') join(fd, (char *)f + head + 1, size - 1);
            if (f[head] == 'P') publish(f + head + 1, size - 1);
        }
        at += head + size;
    }
}

static void readable(int fd) {
    static unsigned char b[2 * BUFFER];
    line *l = &lines[fd];
    if (l->held) memcpy(b, l->rest, l->held);
    int n = recv(fd, b + l->held, BUFFER, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        leave(fd);
        return;
    }
    if (!l->open) {
        l->open = 1;
        put(fd, (const unsigned char *)handshake, sizeof handshake - 1);
        return;
    }
    n += l->held;
    int used = frames(fd, b, n);
    if (used < 0 || n - used > BUFFER) {
        leave(fd);
        return;
    }
    free(l->rest);
    l->rest = NULL;
    l->held = n - used;
    if (!l->held) return;
    l->rest = malloc(l->held);
    if (!l->rest) die("malloc");
    memcpy(l->rest, b + used, l->held);
}

int main(int argc, char **argv) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event e = {.events = EPOLLIN}, ready[1024];
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), ep = epoll_create1(0);
    if (argc != 2) return fprintf(stderr, "usage: bare PORT\n"), 2;
    a.sin_port = htons(atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&a, sizeof a) || listen(listener, 4096)) die("listen");
    e.data.fd = listener;
    if (epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e)) die("epoll_ctl");
    for (;;) {
        int n = epoll_wait(ep, ready, 1024, -1);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd != listener) {
                readable(fd);
                continue;
            }
            fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd < 0 || fd >= MAX_FD) continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            e.data.fd = fd;
            epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
        }
    }
}
