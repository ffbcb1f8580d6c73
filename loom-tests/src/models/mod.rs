//! Each model is a few threads that do what handles and drivers do, on the same types.

mod handles;
mod mailbox;
mod nowhere;
mod slot;

/// What some threads do to each other.
pub struct Model {
    /// Its function.
    pub name: &'static str,
    /// Preemptions in one execution, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
    pub(crate) preemptions: usize,
    /// One execution.
    pub(crate) run: fn(),
}

macro_rules! models {
    ($($file:ident, $preemptions:literal: $($name:ident)*;)*) => {
        /// All of them.
        pub const MODELS: &[Model] = &[$($(Model {
            name: stringify!($name),
            preemptions: $preemptions,
            run: $file::$name,
        }),*),*];
    };
}

// A turn of the real driver has many steps, so those orders are too many with three.
models! {
    mailbox, 3: question_against_park two_writers_without_room last_handle_against_turn
        question_against_end wakers_that_use_the_mailbox;
    slot, 3: update_against_poll end_against_poll task_that_moves try_while_waiting
        wakers_that_use_the_slot;
    handles, 3: demand;
    handles, 2: shutdown_against_question;
    handles, 1: read_ahead write_and_wait announcements_of_others;
}
