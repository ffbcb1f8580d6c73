//! A tone as a WAV file.

use std::{
    f64::consts::TAU,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use super::{output, write_to};
use crate::failure::Failure;

/// How loud: this part of what the format can hold.
const AMPLITUDE: f64 = 0.3;
const CHANNELS: u32 = 2;
const SAMPLE_BYTES: u32 = 2;
/// Bytes of the header before the samples.
const HEADER: u32 = 44;

/// A tone as a WAV file: 16 bit, stereo
#[derive(clap::Args)]
pub(super) struct Args {
    /// The file; `-` is standard output [default: sample.wav]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How long it is
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How high it is, in Hz
    #[arg(long, value_name = "HZ", default_value_t = 440.0)]
    frequency: f64,
    /// Samples a second
    #[arg(long, value_name = "HZ", default_value_t = 48_000, value_parser = clap::value_parser!(u32).range(1000..=192_000))]
    rate: u32,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let Args { duration, frequency, rate, .. } = args;
    if !(frequency > 0.0 && frequency <= f64::from(rate) / 2.0) {
        let most = rate / 2;
        return Err(Failure::Usage(format!(
            "--frequency must be above 0 and at most half the rate, {most} Hz"
        )));
    }
    let samples = u32::try_from(duration.as_micros() * u128::from(rate) / 1_000_000).ok();
    let bytes = samples.and_then(|samples| samples.checked_mul(CHANNELS * SAMPLE_BYTES));
    let Some((samples, bytes)) = samples.zip(bytes.filter(|bytes| *bytes <= u32::MAX - HEADER))
    else {
        return Err(Failure::Usage(
            "a WAV file holds at most 4 GiB; choose a shorter --duration or a lower --rate".into(),
        ));
    };
    let size = bytes + HEADER;
    let what = format!("{duration:?} of {frequency} Hz, {rate} Hz, 16 bit, stereo, {size} bytes");
    write_to(&output(args.output, "sample.wav"), &what, |out| {
        out.write_all(&header(rate, bytes))?;
        tone(out, samples, frequency, rate)
    })
}

/// The header of a file with so many bytes of samples.
fn header(rate: u32, bytes: u32) -> [u8; HEADER as usize] {
    let frame = CHANNELS * SAMPLE_BYTES;
    let mut header = [0; HEADER as usize];
    let mut at = 0;
    let mut put = |part: &[u8]| {
        header[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    put(b"RIFF");
    put(&(bytes + HEADER - 8).to_le_bytes());
    put(b"WAVEfmt ");
    put(&16_u32.to_le_bytes());
    // PCM
    put(&1_u16.to_le_bytes());
    put(&(CHANNELS as u16).to_le_bytes());
    put(&rate.to_le_bytes());
    put(&(rate * frame).to_le_bytes());
    put(&(frame as u16).to_le_bytes());
    put(&(SAMPLE_BYTES as u16 * 8).to_le_bytes());
    put(b"data");
    put(&bytes.to_le_bytes());
    header
}

fn tone(out: &mut dyn Write, samples: u32, frequency: f64, rate: u32) -> io::Result<()> {
    for i in 0..samples {
        // Whole turns are left out before they cost digits.
        let turns = (f64::from(i) * frequency / f64::from(rate)).fract();
        let level = (turns * TAU).sin() * AMPLITUDE * f64::from(i16::MAX);
        let [low, high] = (level.round() as i16).to_le_bytes();
        out.write_all(&[low, high, low, high])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_pcm() {
        let expected =
            b"RIFF\x24\xa6\x0e\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x80\xbb\0\0\x00\xee\x02\0\
                         \x04\0\x10\0data\x00\xa6\x0e\0";
        assert_eq!(header(48_000, 960_000), *expected);
    }

    #[test]
    fn the_tone_is_a_sine_on_both_sides() {
        let mut bytes = Vec::new();
        // Four samples a turn: zero, top, zero, bottom.
        tone(&mut bytes, 400, 12_000.0, 48_000).unwrap();
        let samples: Vec<_> =
            bytes.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let turn = [0, 0, 9830, 9830, 0, 0, -9830, -9830];
        assert!(samples.chunks(8).all(|chunk| chunk == turn));
        assert_eq!(samples.len(), 800);
    }
}
