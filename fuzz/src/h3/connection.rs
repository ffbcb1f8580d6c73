//! Whole connections.

use bytes::BytesMut;
use smoq_h3::{Connection, Dir, Limits, Request, Settings, Side, request::PROTOCOL};

use super::{
    model::{Model, Outcome},
    script::Step,
};
use crate::Input;

/// So small that scripts reach them.
const TIGHT: Limits =
    Limits { field_section: 400, buffered: 300, early_streams: 3, new_streams: 6 };

/// A server: the size of the pieces, then a script.
pub fn h3_connection_server(data: &[u8]) {
    any_pieces(Side::Server, data);
}

/// A client: the size of the pieces, then a script.
pub fn h3_connection_client(data: &[u8]) {
    any_pieces(Side::Client, data);
}

/// One stream of a server whose session runs: which one, the size of the pieces, then its bytes.
pub fn h3_frames(data: &[u8]) {
    let mut input = Input(data);
    let Some(target) = input.byte() else { return };
    let piece = input.piece();
    let mut steps = vec![
        Step::Open(Dir::Uni),
        Step::Bytes { stream: 0, data: control(), fin: false },
        Step::Open(Dir::Bi),
        Step::Bytes { stream: 1, data: connect(), fin: false },
        Step::Accept(true),
    ];
    let (opened, stream) = match target % 4 {
        stream @ (0 | 1) => (None, stream),
        2 => (Some(Step::Open(Dir::Bi)), 2),
        _ => (Some(Step::Open(Dir::Uni)), 2),
    };
    steps.extend(opened);
    steps.push(Step::Bytes { stream, data: input.0.to_vec(), fin: target >= 0x80 });
    let limits = Limits { buffered: data.len() + 1000, ..Limits::default() };
    let whole = run(Side::Server, &steps, limits, usize::MAX);
    assert_eq!(run(Side::Server, &steps, limits, piece), whole, "pieces of {piece}");
}

fn any_pieces(side: Side, data: &[u8]) {
    let mut input = Input(data);
    let piece = input.piece();
    let steps: Vec<_> = core::iter::from_fn(|| Step::take(&mut input)).collect();
    run(side, &steps, TIGHT, piece);
    // A frame that is whole at once is never kept, so pieces count only where there is room for all.
    let roomy = Limits { buffered: data.len() + 1000, ..TIGHT };
    let whole = run(side, &steps, roomy, usize::MAX);
    assert_eq!(run(side, &steps, roomy, piece), whole, "pieces of {piece}");
}

fn run(side: Side, steps: &[Step], limits: Limits, piece: usize) -> Outcome {
    let connection = match side {
        Side::Client => Connection::client(request(), limits),
        Side::Server => Connection::server(limits),
    };
    let mut model = Model::new(connection, side, limits, piece);
    for step in steps {
        model.step(step);
    }
    model.outcome()
}

fn request() -> Request {
    Request {
        authority: "localhost".into(),
        path: "/room".into(),
        origin: None,
        protocols: vec!["moq-lite-05".into()],
    }
}

/// What a control stream begins with.
pub(super) fn control() -> Vec<u8> {
    let mut out = BytesMut::from(&[smoq_h3::stream::CONTROL as u8][..]);
    Settings::ours(400).encode(&mut out);
    out.into()
}

fn connect() -> Vec<u8> {
    let mut out = BytesMut::new();
    request().encode(PROTOCOL, &mut out);
    out.into()
}
