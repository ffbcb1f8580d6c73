/* Publishes words and watches them come back, through a relay, from one poll(2) loop.
 *
 *     smoq relay
 *     cargo build -p smoq-ffi
 *     cc ffi/examples/echo.c -I ffi/include target/debug/libsmoq_ffi.a -lpthread -ldl -lm -o echo
 *     ./echo 127.0.0.1:4443 FINGERPRINT hello world
 *
 * Two clients with a socket each: one publishes when the other has subscribed.
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "smoq.h"

enum { PUBLISHER, VIEWER, ENDS };

static SmoqClient *clients[ENDS];
static struct pollfd sockets[ENDS];
static SmoqTrack track;
static char **words; /* what to publish, up to a NULL */
static bool done;    /* all of them have come back */

static void fail(const char *what, const char *why) { fprintf(stderr, "%s: %s\n", what, why), exit(1); }

/* Every call of the library goes through here. */
static SmoqStatus check(SmoqStatus status, const char *what) {
    if (status < 0) fail(what, smoq_last_error());
    return status;
}

/* Microseconds of a clock that never goes back. */
static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* A socket that is connected, so that addresses are no matter of ours from here on. */
static int connect_udp(const char *address) {
    struct sockaddr_in to = {.sin_family = AF_INET};
    char ip[16];
    unsigned short port;
    if (sscanf(address, "%15[0-9.]:%hu", ip, &port) != 2 || inet_pton(AF_INET, ip, &to.sin_addr) != 1)
        fail(address, "not IPV4:PORT");
    to.sin_port = htons(port);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) fail(address, "no socket");
    return fd;
}

static void publish(SmoqClient *client) {
    SmoqGroup group;
    check(smoq_create_group(client, now(), track, &group), "group");
    for (uint64_t time = 0; words[time]; time++)
        check(smoq_write_frame(client, now(), group, time, words[time], strlen(words[time])), "write");
    check(smoq_finish_group(client, now(), group), "finish group");
    check(smoq_finish_track(client, now(), track), "finish track");
}

static void print(SmoqClient *client, SmoqSubscription subscription) {
    SmoqFrame frame;
    SmoqStatus status;
    while ((status = smoq_read_frame(client, now(), subscription, &frame)) == SMOQ_STATUS_OK)
        printf("%.*s\n", (int)frame.size, (const char *)frame.data);
    if ((done = check(status, "read") == SMOQ_STATUS_END)) check(smoq_close(client, now()), "close");
}

static void act(SmoqClient *client, const SmoqEvent *event) {
    SmoqSubscription subscription;
    switch (event->kind) {
    case SMOQ_EVENT_KIND_CONNECT_FAILED:
        fail("cannot connect", event->text);
        break;
    case SMOQ_EVENT_KIND_CLOSED:
        if (event->code != 0 || (client == clients[VIEWER] && !done)) fail("the session was closed", event->text);
        break;
    case SMOQ_EVENT_KIND_ANNOUNCED:
        check(smoq_subscribe(client, now(), event->text, "words", true, &subscription), "subscribe");
        break;
    case SMOQ_EVENT_KIND_READABLE:
        print(client, event->subscription);
        break;
    case SMOQ_EVENT_KIND_WANTED:
        publish(client);
        break;
    case SMOQ_EVENT_KIND_UNWANTED: /* whoever listened has everything */
        check(smoq_close(client, now()), "close");
        break;
    default:;
    }
}

/* Acts and sends until there is nothing more; then says when to come back at the latest. */
static uint64_t work(SmoqClient *client, int fd) {
    char buffer[SMOQ_MAX_DATAGRAM];
    uint64_t at = UINT64_MAX;
    SmoqEvent event;
    SmoqStatus status;
    size_t size;
    check(smoq_handle_timeout(client, now()), "timeout");
    do {
        while (check(smoq_poll_event(client, &event), "event") == SMOQ_STATUS_OK) act(client, &event);
        status = check(smoq_poll_transmit(client, now(), buffer, sizeof buffer, &size), "send");
        if (status == SMOQ_STATUS_OK) send(fd, buffer, size, MSG_DONTWAIT); /* what is lost is repeated */
    } while (status == SMOQ_STATUS_OK);
    check(smoq_poll_timeout(client, &at), "timeout");
    return at;
}

int main(int argc, char **argv) {
    if (argc < 4) fail("usage", "echo IPV4:PORT FINGERPRINT WORD...");
    SmoqOptions options = {.address = argv[1], .fingerprint = argv[2]};
    SmoqBroadcast broadcast;
    words = argv + 3;
    for (int end = 0; end < ENDS; end++) {
        check(smoq_client_new(now(), &options, &clients[end]), "new");
        sockets[end] = (struct pollfd){.fd = connect_udp(argv[1]), .events = POLLIN};
    }
    check(smoq_create_broadcast(clients[PUBLISHER], now(), "echo", &broadcast), "broadcast");
    check(smoq_create_track(clients[PUBLISHER], now(), broadcast, "words", 1000, &track), "track");
    check(smoq_announce(clients[PUBLISHER], now(), broadcast), "announce");
    check(smoq_watch(clients[VIEWER], now(), "echo"), "watch");
    for (int idle = 0; idle < ENDS;) {
        uint64_t time = now(), at = time + 1000000; /* come back after a second at the latest */
        idle = 0;
        for (int end = 0; end < ENDS; end++) {
            uint64_t next = work(clients[end], sockets[end].fd);
            if (next < at) at = next;
            idle += check(smoq_is_idle(clients[end]), "idle") == SMOQ_STATUS_OK;
        }
        if (idle < ENDS) poll(sockets, ENDS, at > time ? (int)((at - time) / 1000) + 1 : 0);
        for (int end = 0; end < ENDS; end++) {
            char buffer[2048];
            ssize_t size;
            while ((size = recv(sockets[end].fd, buffer, sizeof buffer, MSG_DONTWAIT)) >= 0)
                check(smoq_handle_datagram(clients[end], now(), buffer, (size_t)size), "datagram");
        }
    }
    for (int end = 0; end < ENDS; end++) smoq_client_free(clients[end]);
    return 0;
}
