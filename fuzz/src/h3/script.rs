//! What happens to a connection, step by step, as bytes.

use smoq_h3::Dir;

use crate::Input;

/// One step. Streams are named by their number in the order in which they came, modulo how many there
/// are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The peer opens a stream.
    Open(Dir),
    /// The connection gets the stream that it wants.
    Give,
    /// Bytes of a stream come, at most 255.
    Bytes {
        /// Its number.
        stream: u8,
        /// May be empty.
        data: Vec<u8>,
        /// Whether it ends.
        fin: bool,
    },
    /// The peer abandons a stream.
    Reset {
        /// Its number.
        stream: u8,
        /// Why.
        code: u8,
    },
    /// The peer wants no more of a stream.
    Stop {
        /// Its number; our control stream counts as the last one.
        stream: u8,
        /// Why; code 0 stands for NO_ERROR.
        code: u8,
    },
    /// The application says yes, with a protocol or none.
    Accept(bool),
    /// The application says no.
    Refuse,
    /// The application ends the session.
    Close,
}

impl Step {
    /// The next step, or nothing when the bytes are at an end.
    pub fn take(input: &mut Input<'_>) -> Option<Self> {
        let op = input.byte()?;
        Some(match op % 11 {
            0 => Self::Open(Dir::Bi),
            1 => Self::Open(Dir::Uni),
            2 => Self::Give,
            op @ (3 | 4) => {
                let stream = input.byte()?;
                Self::Bytes { stream, data: input.counted()?.to_vec(), fin: op == 4 }
            }
            5 => Self::Reset { stream: input.byte()?, code: input.byte()? },
            6 => Self::Stop { stream: input.byte()?, code: input.byte()? },
            7 => Self::Accept(false),
            8 => Self::Accept(true),
            9 => Self::Refuse,
            _ => Self::Close,
        })
    }

    /// Appends it. More than 255 bytes are several steps.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Open(Dir::Bi) => out.push(0),
            Self::Open(Dir::Uni) => out.push(1),
            Self::Give => out.push(2),
            Self::Bytes { stream, data, fin } => {
                let whole = data.len().saturating_sub(1) / 255;
                for index in 0..=whole {
                    let part = data.chunks(255).nth(index).unwrap_or_default();
                    let last = *fin && index == whole;
                    out.extend_from_slice(&[3 + u8::from(last), *stream, part.len() as u8]);
                    out.extend_from_slice(part);
                }
            }
            Self::Reset { stream, code } => out.extend_from_slice(&[5, *stream, *code]),
            Self::Stop { stream, code } => out.extend_from_slice(&[6, *stream, *code]),
            Self::Accept(with) => out.push(7 + u8::from(*with)),
            Self::Refuse => out.push(9),
            Self::Close => out.push(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_both_ways() {
        let bytes = |data, fin| Step::Bytes { stream: 1, data, fin };
        let steps = [
            Step::Open(Dir::Bi),
            Step::Open(Dir::Uni),
            Step::Give,
            bytes(vec![7; 255], true),
            bytes(Vec::new(), false),
            Step::Reset { stream: 2, code: 3 },
            Step::Stop { stream: 4, code: 5 },
            Step::Accept(false),
            Step::Accept(true),
            Step::Refuse,
            Step::Close,
        ];
        let mut out = Vec::new();
        steps.iter().for_each(|step| step.put(&mut out));
        let mut input = Input(&out);
        let read: Vec<_> = core::iter::from_fn(|| Step::take(&mut input)).collect();
        assert_eq!(read, steps);

        let mut out = Vec::new();
        bytes(vec![7; 256], true).put(&mut out);
        let mut input = Input(&out);
        assert_eq!(Step::take(&mut input), Some(bytes(vec![7; 255], false)));
        assert_eq!(Step::take(&mut input), Some(bytes(vec![7], true)));
    }
}
