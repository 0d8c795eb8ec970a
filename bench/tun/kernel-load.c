/*
 * kernel-load: what the rows of tun.ts ask of a server, by sockets of the kernel in one thread.
 *
 *   kernel-load bulk ADDR PORT WARM SECONDS FLOWS rx|tx   bytes, over so many connections at once (Reno)
 *   kernel-load open ADDR PORT WARM SECONDS AT_ONCE echo  connections, so many at once: a byte there and back, we close
 *   kernel-load open ADDR PORT WARM SECONDS AT_ONCE read  the same: the server sends something and closes
 *   kernel-load ask ADDR PORT WARM SECONDS BYTES          requests of so many bytes and answers, one after the other
 *   kernel-load first ADDR PORT COMMAND...                ms from the start of a server to the first byte of its page
 *   kernel-load span COMMAND...                           ms from the start of a program to its end
 *
 * What happens in the first WARM seconds is not counted. What is sent counts when it is acknowledged. Prints one line:
 * a count, its unit, and the seconds in which it was counted.
 *
 * Build: cc -O2 -Wall -o kernel-load kernel-load.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 18, EVENTS = 256, MOST = 4096, START_MS = 20000, ATTEMPT_MS = 10 };

static struct sockaddr_in server;
static char piece[PIECE];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void usage(void) {
    fprintf(stderr, "usage: see the beginning of kernel-load.c\n");
    exit(2);
}

static int number(const char *word, int least, int most) {
    int n = atoi(word);
    if (n < least || n > most) usage();
    return n;
}

static void find_server(char **words) {
    server.sin_family = AF_INET;
    server.sin_port = htons(number(words[1], 1, 65535));
    if (inet_pton(AF_INET, words[0], &server.sin_addr) != 1) usage();
}

static int new_socket(int flags) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0) die("socket");
    return fd;
}

static int connected_socket(void) {
    int fd = new_socket(0);
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4)) die("reno");
    struct timeval patience = {.tv_sec = 5};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience)) die("SO_SNDTIMEO");
    if (connect(fd, (struct sockaddr *)&server, sizeof server)) die("connect");
    return fd;
}

/* Bytes that the peer has acknowledged, of those sent. */
static unsigned long long acknowledged(unsigned long long sent, const int *fds, int count) {
    for (int i = 0; i < count; i++) {
        int queued = 0;
        if (ioctl(fds[i], SIOCOUTQ, &queued) == 0) sent -= queued;
    }
    return sent;
}

static void bulk(int sending, double warm, double seconds, int flows) {
    int fds[MOST];
    int poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < flows; i++) {
        fds[i] = connected_socket();
        struct epoll_event event = {.events = sending ? EPOLLOUT : EPOLLIN, .data.fd = fds[i]};
        if (fcntl(fds[i], F_SETFL, O_NONBLOCK) || epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event)) die("epoll_ctl");
    }
    unsigned long long moved = 0, before = 0;
    double start = now() + warm, end = start + seconds;
    for (int counting = 0;;) {
        double t = now();
        if (!counting && t >= start) {
            counting = 1;
            start = t;
            before = sending ? acknowledged(moved, fds, flows) : moved;
        }
        if (t >= end) break;
        struct epoll_event events[EVENTS];
        int found = epoll_wait(poller, events, EVENTS, 20);
        for (int i = 0; i < found; i++) {
            int fd = events[i].data.fd;
            ssize_t n = sending ? send(fd, piece, PIECE, MSG_NOSIGNAL) : recv(fd, piece, PIECE, 0);
            if (n > 0) moved += n;
            else if (n == 0 || errno != EAGAIN) die("a connection ended early");
        }
    }
    unsigned long long after = sending ? acknowledged(moved, fds, flows) : moved;
    printf("%llu bytes %.6f s\n", after - before, now() - start);
    struct linger reset = {.l_onoff = 1};  /* leave nothing behind for the next run */
    for (int i = 0; i < flows; i++) {
        setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fds[i]);
    }
}

/* One more connection under way. All that may happen to it is asked for at once. */
static void open_one(int poller) {
    int fd = new_socket(SOCK_NONBLOCK);
    if (connect(fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) die("connect");
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = fd};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

/* What has become of one: is it over, is it still under way, or has it failed? */
enum { OVER, UNDER_WAY, FAILED };

static int go_on(int fd, unsigned bits, int echo, char *asked) {
    if (bits & EPOLLERR) return FAILED;
    if (echo) {
        if (bits & EPOLLOUT && !*asked) *asked = send(fd, "x", 1, MSG_NOSIGNAL) == 1;
        if (bits & EPOLLIN) return *asked && recv(fd, piece, 1, 0) == 1 ? OVER : FAILED;
        return bits & (EPOLLRDHUP | EPOLLHUP) ? FAILED : UNDER_WAY;
    }
    if (!(bits & EPOLLRDHUP)) return UNDER_WAY;
    return recv(fd, piece, PIECE, 0) > 0 ? OVER : FAILED;
}

static void open_many(int echo, double warm, double seconds, int at_once) {
    static char asked[1 << 16];  /* by descriptor: the byte is sent */
    int poller = epoll_create1(EPOLL_CLOEXEC);
    unsigned long long done = 0, failed = 0, before = 0;
    double start = now() + warm, end = start + seconds;
    for (int i = 0; i < at_once; i++) open_one(poller);
    for (int counting = 0;;) {
        double t = now();
        if (!counting && t >= start) {
            counting = 1;
            start = t;
            before = done;
        }
        if (t >= end) break;
        struct epoll_event events[EVENTS];
        int found = epoll_wait(poller, events, EVENTS, 20);
        for (int i = 0; i < found; i++) {
            int fd = events[i].data.u64;
            int became = go_on(fd, events[i].events, echo, &asked[fd]);
            if (became == UNDER_WAY) continue;
            if (became == OVER) done++;
            else failed++;
            asked[fd] = 0;
            close(fd);
            open_one(poller);
        }
    }
    printf("%llu connections %.6f s\n", done - before, now() - start);
    if (failed == 0) return;
    fprintf(stderr, "%llu connections failed, %llu did not\n", failed, done);
    if (failed > done / 100) exit(1);
}

static void ask(double warm, double seconds, int bytes) {
    int fd = connected_socket(), on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)) die("TCP_NODELAY");
    unsigned long long done = 0, before = 0;
    double start = now() + warm, end = start + seconds;
    for (int counting = 0;;) {
        double t = now();
        if (!counting && t >= start) {
            counting = 1;
            start = t;
            before = done;
        }
        if (t >= end) break;
        if (send(fd, piece, bytes, MSG_NOSIGNAL) != bytes) die("send");
        for (int got = 0; got < bytes;) {
            ssize_t n = recv(fd, piece, bytes - got, 0);
            if (n <= 0) die("a connection ended early");
            got += n;
        }
        done++;
    }
    printf("%llu transactions %.6f s\n", done - before, now() - start);
    close(fd);
}

static pid_t start_program(char **command) {
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child > 0) return child;
    int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, 0);
    dup2(nothing, 1);
    execvp(command[0], command);
    die(command[0]);
    return 0;
}

/* The first byte of a page; -1 where nobody answers soon. A SYN that nobody takes is not waited for: the next one may be. */
static int fetch_first_byte(void) {
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    int fd = new_socket(SOCK_NONBLOCK), result = -1;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    connect(fd, (struct sockaddr *)&server, sizeof server);
    if (poll(&wait, 1, ATTEMPT_MS) == 1 && wait.revents == POLLOUT && send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0) {
        wait.events = POLLIN;
        if (poll(&wait, 1, START_MS) == 1) result = recv(fd, piece, 1, 0) == 1 ? piece[0] : -1;
    }
    close(fd);
    return result;
}

static void first(char **command) {
    double start = now();
    pid_t child = start_program(command);
    while (fetch_first_byte() < 0) {
        if (now() - start > START_MS / 1e3 || waitpid(child, NULL, WNOHANG) != 0) {
            fprintf(stderr, "there is no page\n");
            kill(child, SIGKILL);
            exit(1);
        }
        usleep(200);
    }
    double elapsed = now() - start;
    printf("%.3f ms %.6f s\n", elapsed * 1e3, elapsed);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void span(char **command) {
    double start = now();
    int status = 0;
    waitpid(start_program(command), &status, 0);
    double elapsed = now() - start;
    if (status != 0) {
        fprintf(stderr, "the program failed\n");
        exit(1);
    }
    printf("%.3f ms %.6f s\n", elapsed * 1e3, elapsed);
}

/* As many descriptors as there may be. */
static void raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) die("RLIMIT_NOFILE");
    limit.rlim_cur = limit.rlim_max < 1 << 16 ? limit.rlim_max : 1 << 16;
    if (setrlimit(RLIMIT_NOFILE, &limit)) die("RLIMIT_NOFILE");
}

int main(int argc, char **argv) {
    if (argc < 3) usage();
    const char *mode = argv[1];
    if (!strcmp(mode, "span")) {
        span(argv + 2);
        return 0;
    }
    if (argc < 5) usage();
    find_server(argv + 2);
    if (!strcmp(mode, "first")) {
        first(argv + 4);
        return 0;
    }
    if (argc < 7) usage();
    raise_limit();
    double warm = atof(argv[4]), seconds = atof(argv[5]);
    const char *how = argc == 8 ? argv[7] : "";
    if (!strcmp(mode, "bulk") && (!strcmp(how, "rx") || !strcmp(how, "tx")))
        bulk(how[0] == 't', warm, seconds, number(argv[6], 1, MOST));
    else if (!strcmp(mode, "open") && (!strcmp(how, "echo") || !strcmp(how, "read")))
        open_many(how[0] == 'e', warm, seconds, number(argv[6], 1, MOST));
    else if (!strcmp(mode, "ask") && argc == 7)
        ask(warm, seconds, number(argv[6], 1, PIECE));
    else
        usage();
    return 0;
}
