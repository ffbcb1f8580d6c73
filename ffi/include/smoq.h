/* smoq: live media over QUIC, as a client that does no IO.
 *
 * Made by cbindgen from ffi/src, where the documentation is. examples/echo.c is a whole program.
 *
 * How to drive it, in any order and as often as it suits:
 *
 *   1. smoq_handle_datagram for what the socket received, smoq_handle_timeout when smoq_poll_timeout is due.
 *   2. smoq_poll_event until SMOQ_STATUS_NOTHING, acting on what happened.
 *   3. smoq_poll_transmit until SMOQ_STATUS_NOTHING, sending each datagram.
 *   4. Sleep until the socket is readable or smoq_poll_timeout is due. 2 and 3 repeat as long as either
 *      gives something.
 *
 * Rules for all functions:
 *
 *   - Pointers are valid for as long as the call lasts, and none is kept. A NULL where it is not allowed is
 *     SMOQ_STATUS_INVALID. Texts are UTF-8 and end with a 0.
 *   - What a call hands out by pointer belongs to the client, until the time that is said beside it, at the
 *     latest until the client is freed.
 *   - A client may be used by one thread at a time.
 *   - `now` is in microseconds, of a clock that does not go back. Where it begins is up to the caller.
 *   - An id is a number for one client. One of something that has ended is SMOQ_STATUS_INVALID.
 *   - No function waits, touches a socket or starts a thread. How late it is says `now`; only the validity of
 *     certificates is looked up by the system's own clock.
 */

#ifndef SMOQ_H
#define SMOQ_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// The largest datagram that `smoq_poll_transmit` gives, in bytes.
#define SMOQ_MAX_DATAGRAM 1200

// What came of a call. Below 0 it failed, and `smoq_last_error` says why.
typedef enum SmoqStatus {
  // Done.
  SMOQ_STATUS_OK = 0,
  // There is nothing now.
  SMOQ_STATUS_NOTHING = 1,
  // There will be nothing more.
  SMOQ_STATUS_END = 2,
  // The caller's mistake: an argument is wrong, or an id names what has ended. Nothing was changed.
  SMOQ_STATUS_INVALID = -1,
  // The other end does not do it.
  SMOQ_STATUS_FAILED = -2,
  // A bug in smoq. The client can only be freed.
  SMOQ_STATUS_PANICKED = -3,
} SmoqStatus;

// What happened.
typedef enum SmoqEventKind {
  // The session is up. What was published before is announced, and subscriptions can be made.
  SMOQ_EVENT_KIND_READY = 0,
  // There will be no session: `text` says why. The client is of no more use.
  SMOQ_EVENT_KIND_CONNECT_FAILED,
  // The session is over: `text` says why, `code` is the number on the wire. The client is of no more
  // use.
  SMOQ_EVENT_KIND_CLOSED,
  // Somebody publishes a broadcast below a prefix that is watched: `text` is its path.
  SMOQ_EVENT_KIND_ANNOUNCED,
  // Nobody does any more: `text` is its path.
  SMOQ_EVENT_KIND_UNANNOUNCED,
  // `smoq_read_frame` of `subscription` may have something. Comes once until it is called.
  SMOQ_EVENT_KIND_READABLE,
  // Somebody subscribes to `track`. Until then nothing of it is sent.
  SMOQ_EVENT_KIND_WANTED,
  // Nobody does any more.
  SMOQ_EVENT_KIND_UNWANTED,
  // The server is about to go: `text` is the URI where it says to connect to, empty for the same place.
  // It says so without proof. What runs goes on; what is asked from now on fails.
  SMOQ_EVENT_KIND_GOAWAY,
} SmoqEventKind;

// A client: one connection to one server. Made by `smoq_client_new`.
//
// It may go from thread to thread, but only one may use it at a time.
typedef struct SmoqClient SmoqClient;

// Where to connect to, and whom to believe. All texts are UTF-8 and end with a 0; none is kept.
typedef struct SmoqOptions {
  // The server, `192.0.2.1:4443` or `[2001:db8::1]:4443`: the address that the caller's socket is
  // connected to.
  const char *address;
  // The name that the server's certificate has to be for. NULL for the IP address.
  const char *host;
  // The path of the session with its query, `/room?jwt=x`. NULL for none.
  const char *path;
  // The SHA-256 of the server's certificate, as `smoq relay` prints it. NULL to go by `roots`.
  const char *fingerprint;
  // Root certificates in PEM, one of which has signed that of the server. NULL to go by `fingerprint`.
  const char *roots;
} SmoqOptions;

// A track that the client receives.
typedef struct SmoqSubscription {
  // Opaque.
  uint64_t id;
} SmoqSubscription;

// A track of such a broadcast.
typedef struct SmoqTrack {
  // Opaque.
  uint64_t id;
} SmoqTrack;

// What happened, and to what. Fields that the kind does not name are 0 or empty.
typedef struct SmoqEvent {
  // What.
  enum SmoqEventKind kind;
  // Whose track has something to read.
  struct SmoqSubscription subscription;
  // What is wanted or not.
  struct SmoqTrack track;
  // A code on the wire.
  uint64_t code;
  // In words, or a path. Never NULL. It belongs to the client, until the next call of
  // `smoq_poll_event`.
  const char *text;
} SmoqEvent;

// A broadcast that the client publishes.
typedef struct SmoqBroadcast {
  // Opaque.
  uint64_t id;
} SmoqBroadcast;

// A group of such a track.
typedef struct SmoqGroup {
  // Opaque.
  uint64_t id;
} SmoqGroup;

// A frame that was received.
typedef struct SmoqFrame {
  // Sequence of its group in the track. Groups come as they arrive, which need not be in order.
  uint64_t group;
  // Its place in the group, from 0. Frames of a group come in order.
  uint64_t index;
  // When to show it, in units of the track's timescale.
  uint64_t timestamp;
  // The payload. It belongs to the client, until the next call of `smoq_read_frame`. Not to be read if
  // `size` is 0.
  const void *data;
  // Its bytes.
  size_t size;
} SmoqFrame;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Why the last call of this thread that failed did so, in words. Never NULL; valid until a call of this
// thread fails again.
const char *smoq_last_error(void);

// Makes a client, which dials at once: the first datagram is ready to be sent. `SMOQ_STATUS_INVALID` if an
// option is wrong.
//
// # Safety
// `options` and what it points to is valid during the call. `client` is valid for a write; what is put
// there is to be freed by `smoq_client_free`.
enum SmoqStatus smoq_client_new(uint64_t now,
                                const struct SmoqOptions *options,
                                struct SmoqClient **client);

// Frees a client and what was lent of it. The other end is told nothing: `smoq_close` does that.
//
// # Safety
// `client` is NULL, or from `smoq_client_new` and not freed before. Nobody uses it meanwhile or later.
void smoq_client_free(struct SmoqClient *client);

// Gives the client a datagram that the socket has received. One that is not from the server is ignored.
//
// # Safety
// `client` is one that is not freed and that nobody else uses. `data` has `size` bytes.
enum SmoqStatus smoq_handle_datagram(struct SmoqClient *client,
                                     uint64_t now,
                                     const void *data,
                                     size_t size);

// Does what is due. To be called when the time of `smoq_poll_timeout` has come; earlier is harmless.
//
// # Safety
// `client` is one that is not freed and that nobody else uses.
enum SmoqStatus smoq_handle_timeout(struct SmoqClient *client,
                                    uint64_t now);

// When to call `smoq_handle_timeout`, into `at`. `SMOQ_STATUS_NOTHING` if never. Valid once
// `smoq_poll_transmit` has nothing.
//
// # Safety
// `client` is one that is not freed and that nobody else uses. `at` is valid for a write.
enum SmoqStatus smoq_poll_timeout(struct SmoqClient *client, uint64_t *at);

// Puts the next datagram to send into `buffer`, and its bytes into `size`. `SMOQ_STATUS_NOTHING` if there
// is none. To be called until then; what the socket does not take is lost and repeated later.
//
// # Safety
// `client` is one that is not freed and that nobody else uses. `buffer` has `capacity` bytes, at least
// `SMOQ_MAX_DATAGRAM`. `size` is valid for a write.
enum SmoqStatus smoq_poll_transmit(struct SmoqClient *client,
                                   uint64_t now,
                                   void *buffer,
                                   size_t capacity,
                                   size_t *size);

// Puts the next event into `event`. `SMOQ_STATUS_NOTHING` if there is none. To be called until then.
//
// # Safety
// `client` is one that is not freed and that nobody else uses. `event` is valid for a write.
enum SmoqStatus smoq_poll_event(struct SmoqClient *client,
                                struct SmoqEvent *event);

// Makes a broadcast that nobody is told of yet, so that it can be given its tracks first.
//
// # Safety
// `client` is one that is not freed and that nobody else uses. `path` is a text. `broadcast` is valid for a
// write.
enum SmoqStatus smoq_create_broadcast(struct SmoqClient *client,
                                      uint64_t now,
                                      const char *path,
                                      struct SmoqBroadcast *broadcast);

// Adds a track to a broadcast. Timestamps of its frames count `timescale` units per second, above 0.
//
// # Safety
// `client` is one that is not freed and that nobody else uses. `name` is a text. `track` is valid for a
// write.
enum SmoqStatus smoq_create_track(struct SmoqClient *client,
                                  uint64_t now,
                                  struct SmoqBroadcast broadcast,
                                  const char *name,
                                  uint64_t timescale,
                                  struct SmoqTrack *track);

// Tells of a broadcast whoever wants to know.
//
// # Safety
// `client` is one that is not freed and that nobody else uses.
enum SmoqStatus smoq_announce(struct SmoqClient *client,
                              uint64_t now,
                              struct SmoqBroadcast broadcast);

// Withdraws a broadcast. Its tracks that are not finished are cut off.
//
// # Safety
// `client` is one that is not freed and that nobody else uses.
enum SmoqStatus smoq_unpublish(struct SmoqClient *client,
                               uint64_t now,
                               struct SmoqBroadcast broadcast);

// Begins the next group of a track: where subscribers can begin, and what is left out when they are late.
//
// # Safety
// `client` is one that is not freed and that nobody else uses. `group` is valid for a write.
enum SmoqStatus smoq_create_group(struct SmoqClient *client,
                                  uint64_t now,
                                  struct SmoqTrack track,
                                  struct SmoqGroup *group);

// Adds a frame to a group. Its bytes are copied. `timestamp` is below 2^61.
//
// # Safety
// `client` is one that is not freed and that nobody else uses. `data` has `size` bytes.
enum SmoqStatus smoq_write_frame(struct SmoqClient *client,
                                 uint64_t now,
                                 struct SmoqGroup group,
                                 uint64_t timestamp,
                                 const void *data,
                                 size_t size);

// Ends a group.
//
// # Safety
// `client` is one that is not freed and that nobody else uses.
enum SmoqStatus smoq_finish_group(struct SmoqClient *client, uint64_t now, struct SmoqGroup group);

// Ends a track after the groups begun so far. When its subscribers have everything,
// `SMOQ_EVENT_KIND_UNWANTED` follows.
//
// # Safety
// `client` is one that is not freed and that nobody else uses.
enum SmoqStatus smoq_finish_track(struct SmoqClient *client, uint64_t now, struct SmoqTrack track);

// Asks to be told of the broadcasts at and below a path, the empty one for all.
//
// # Safety
// `client` is one that is not freed and that nobody else uses. `prefix` is a text.
enum SmoqStatus smoq_watch(struct SmoqClient *client, uint64_t now, const char *prefix);

// Subscribes to a track: to `all` of it, from the oldest group that is held and without leaving any out, or
// from the newest group on, of which old ones are left out when they are late.
//
// # Safety
// `client` is one that is not freed and that nobody else uses. `path` and `track` are texts.
// `subscription` is valid for a write.
enum SmoqStatus smoq_subscribe(struct SmoqClient *client,
                               uint64_t now,
                               const char *path,
                               const char *track,
                               bool all,
                               struct SmoqSubscription *subscription);

// Ends a subscription, also one that has ended or failed by itself.
//
// # Safety
// `client` is one that is not freed and that nobody else uses.
enum SmoqStatus smoq_unsubscribe(struct SmoqClient *client,
                                 uint64_t now,
                                 struct SmoqSubscription subscription);

// Puts the next whole frame of a subscription into `frame`. `SMOQ_STATUS_NOTHING` if none is there yet,
// `SMOQ_STATUS_END` at the end of the track, `SMOQ_STATUS_FAILED` if the subscription has failed. To be
// called until it gives no frame. A group that was cut off has its first frames only.
//
// # Safety
// `client` is one that is not freed and that nobody else uses. `frame` is valid for a write.
enum SmoqStatus smoq_read_frame(struct SmoqClient *client,
                                uint64_t now,
                                struct SmoqSubscription subscription,
                                struct SmoqFrame *frame);

// Ends the session, or gives up dialing. The other end is told by datagrams, which are to be sent:
// `smoq_is_idle` says when they are.
//
// # Safety
// `client` is one that is not freed and that nobody else uses.
enum SmoqStatus smoq_close(struct SmoqClient *client, uint64_t now);

// `SMOQ_STATUS_OK` if there is no session any more and the other end was told: a good moment to free the
// client. `SMOQ_STATUS_NOTHING` otherwise.
//
// # Safety
// `client` is one that is not freed and that nobody else uses.
enum SmoqStatus smoq_is_idle(struct SmoqClient *client);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SMOQ_H */
