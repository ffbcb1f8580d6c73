//! Each model is a few threads that do what handles and drivers do, on the same types.

mod handles;
mod local;
mod mailbox;
mod nowhere;
mod shards;
mod slot;

/// What some threads do to each other.
pub struct Model {
    /// Its function.
    pub name: &'static str,
    /// One execution.
    pub(crate) run: fn(),
}

macro_rules! models {
    ($($file:ident: $($name:ident)*;)*) => {
        /// All of them.
        pub const MODELS: &[Model] = &[$($(Model {
            name: stringify!($name),
            run: $file::$name,
        }),*),*];
    };
}

models! {
    mailbox: question_against_park two_writers_without_room last_handle_against_turn
        question_against_end link_against_end datagrams_against_end wakers_that_use_the_mailbox;
    slot: update_against_poll end_against_poll task_that_moves try_while_waiting
        wakers_that_use_the_slot;
    handles: demand groups_to_the_end read_ahead write_and_wait announcements_of_others
        shutdown_against_question;
    shards: announcement_over_link shard_against_failure;
}
