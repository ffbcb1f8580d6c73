//! What a hub does where programs disagree.

use crate::wire::Spelling;

/// When somebody else holds the id that a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TakenId {
    /// The client is told so.
    Refuse,
    /// The client is told that it has the id; messages go to the first holder.
    Pretend,
}

/// What happens when a request cannot be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusals {
    /// The client is told, with a code.
    Answer,
    /// Nothing is said, and nobody is closed for it.
    Silent,
}

/// Who may be named as the sender of what is forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// Only an id that the connection holds.
    Own,
    /// Anybody.
    AsSent,
}

/// What a registration without an id gets, in an envelope. The raw forms always leave it to the hub.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EmptyId {
    /// It is refused.
    Refuse,
    /// It is an id like any other.
    Allow,
}

/// Whether a client can end its registration and stay connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unregister {
    /// It can, and is told so.
    Answer,
    /// It is a message of a type that is not known.
    Ignore,
}

/// Whether an id comes with a secret by which a new connection of the same client takes it over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tokens {
    /// Yes: the one that the client shows when it registers, else one that the hub makes.
    Issue,
    /// No.
    None,
}

/// The forms that are understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forms {
    /// All; the first message of a connection decides.
    All,
    /// Envelopes only.
    Envelope,
}

/// One choice for each question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policies {
    /// When an id is taken.
    pub taken_id: TakenId,
    /// When a request cannot be done.
    pub refusals: Refusals,
    /// Who may be named as sender.
    pub sender: Sender,
    /// When a client gives no id.
    pub empty_id: EmptyId,
    /// When a client does not want its id any more.
    pub unregister: Unregister,
    /// Whether ids can be taken over.
    pub tokens: Tokens,
    /// How closely names in envelopes must be matched.
    pub spelling: Spelling,
    /// Which forms are understood.
    pub forms: Forms,
}

impl Policies {
    /// What is safe. Clients written for the Go hub need no change.
    pub const SAFE: Self = Self {
        taken_id: TakenId::Refuse,
        refusals: Refusals::Answer,
        sender: Sender::Own,
        empty_id: EmptyId::Refuse,
        unregister: Unregister::Answer,
        tokens: Tokens::Issue,
        spelling: Spelling::Exact,
        forms: Forms::All,
    };

    /// What the Go hub does, except that an id is free when its connection ends. Anybody can speak in
    /// anybody's name: for comparisons, not for the public.
    pub const GO_COMPAT: Self = Self {
        taken_id: TakenId::Pretend,
        refusals: Refusals::Silent,
        sender: Sender::AsSent,
        empty_id: EmptyId::Allow,
        unregister: Unregister::Ignore,
        tokens: Tokens::None,
        spelling: Spelling::AnyCase,
        forms: Forms::Envelope,
    };
}

impl Default for Policies {
    fn default() -> Self {
        Self::SAFE
    }
}
