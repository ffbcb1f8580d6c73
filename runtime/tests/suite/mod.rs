//! The tests that every runtime has to pass.
//!
//! A runtime joins by one line: its test includes this folder as a module and calls [`suite`] with a name,
//! the runtime, and what runs a future on it to the end. Each test is an `async fn` over what it runs on,
//! and becomes two: over raw QUIC and over WebTransport.

mod cluster;
mod connecting;
mod dropping;
mod faulty;
mod flow;
mod hardship;
mod media;
mod reconnecting;
mod requests;
mod same_bytes;
mod shards;
pub(crate) mod tools;

pub(crate) use cluster::*;
pub(crate) use connecting::*;
pub(crate) use dropping::*;
pub(crate) use faulty::*;
pub(crate) use flow::*;
pub(crate) use hardship::*;
pub(crate) use media::*;
pub(crate) use reconnecting::*;
pub(crate) use requests::*;
pub(crate) use same_bytes::*;
pub(crate) use shards::*;
pub(crate) use tools::{Raw, Web, within};

/// The module `$name` with every test, on `$runtime`, by `$block_on`.
macro_rules! suite {
    ($name:ident, $runtime:expr, $block_on:expr) => {
        bodies::suite! {
            @tests $name, $runtime, $block_on;
            a_refused_port_is_told_at_once
            a_silent_server_runs_into_the_limit
            a_wrong_certificate_is_told
            no_common_version_is_told
            names_are_resolved
            the_server_decides_who_comes_in
            a_refused_peer_is_told_why
            closing_tells_code_and_reason
            a_client_closes_with_code_and_reason
            a_server_that_is_about_to_go_says_where_to
            a_server_says_how_fast_it_is
            a_shutdown_ends_every_handle
            a_cancelled_connect_leaves_nothing_behind
            every_version_carries_media
            datagrams_are_groups_of_one_frame
            one_group_is_fetched
            a_server_publishes_and_subscribes_itself
            many_groups_arrive_whole
            streamed_frames_arrive_as_they_are_written
            misuse_is_told_on_the_handle
            an_unknown_broadcast_fails
            announcements_come_and_go
            groups_are_read_in_any_order
            a_slow_reader_delays_nobody
            cancelled_reads_lose_nothing
            drained_waits_for_the_slowest
            finished_means_that_it_arrived
            wanted_follows_the_subscribers
            the_last_handle_closes_the_connection
            handles_may_be_dropped_in_any_order
            a_lost_connection_fails_the_writers
            a_lost_connection_ends_the_announcements
            who_sees_a_subscription_fail_is_told_why
            groups_outlive_their_subscription
            dropped_writers_abort
            a_track_is_made_when_somebody_asks
            a_mux_says_who_serves_what_is_asked_for
            a_track_that_nobody_reads_ends
            requests_end_with_their_handle
            servers_that_dial_each_other_are_one
            a_server_goes_on_dialing
            shards_dial_together
            shards_share_what_is_published
            the_server_decides_on_every_shard
            a_shutdown_ends_every_shard
            the_last_handle_ends_every_shard
            a_shard_that_fails_ends_the_server
            a_session_has_the_same_bytes_everywhere
            late_timers_lose_nothing
            a_socket_that_would_block_loses_nothing
            whatever_is_cancelled_leaves_nothing_behind
            cancelled_writes_write_nothing
            a_stalled_reader_keeps_what_its_store_holds
            who_pauses_gets_all_later
            thousands_of_tasks_read
            who_was_cut_off_comes_back
            a_restarted_relay_is_found_again
            a_loss_in_the_middle_of_a_group_is_survived
            who_joined_late_misses_nothing_either
            finished_waits_for_a_subscriber_to_come_back
            a_server_that_goes_moves_its_clients
            refused_for_good_it_is_not_tried_again
            who_does_not_come_back_is_not_waited_for
            what_only_the_server_that_goes_has_is_waited_for
            another_publisher_is_noticed
        }
    };
    (@tests $name:ident, $runtime:expr, $block_on:expr; $($test:ident)*) => {
        mod $name {
            mod raw_quic {
                use super::super::*;

                $(#[test] fn $test() {
                    $block_on(bodies::within(bodies::Raw($runtime), bodies::$test));
                })*
            }
            mod web_transport {
                use super::super::*;

                $(#[test] fn $test() {
                    $block_on(bodies::within(bodies::Web($runtime), bodies::$test));
                })*
            }
        }
    };
}

pub(crate) use suite;
