//! Moving pictures as raw I420: for each picture all of Y, then U and V at half the width and height.
//! There is no header, so whoever reads it must be told the size.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use clap::ValueEnum;

use super::{output, write_to};
use crate::failure::Failure;

/// The longest side of a picture.
const LARGEST: u32 = 7680;
/// The side of a square of the checkerboard.
const SQUARE: u32 = 40;

/// One colour: Y, U, V in the range of television.
type Colour = [u8; 3];
const BLACK: Colour = [16, 128, 128];
const WHITE: Colour = [235, 128, 128];
/// Red, yellow, green, cyan, blue, magenta.
const COLOURS: [Colour; 6] =
    [[81, 90, 240], [210, 16, 146], [145, 54, 34], [170, 166, 16], [41, 240, 110], [106, 202, 222]];

/// What is in the pictures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Pattern {
    /// Light and colour change over the picture, and move.
    Gradient,
    /// Black and white squares, which change places each second.
    Checkerboard,
    /// A white ball on black that bounces off the sides.
    Bounce,
    /// One colour all over, another one each second.
    Color,
}

/// Moving pictures as raw I420 (yuv420p), without a header
#[derive(clap::Args)]
pub(super) struct Args {
    /// The file; `-` is standard output [default: the pattern's name, as in bounce.yuv]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Pixels in a row; even
    #[arg(long, value_name = "N", default_value_t = 640, value_parser = side)]
    width: u32,
    /// Rows; even
    #[arg(long, value_name = "N", default_value_t = 480, value_parser = side)]
    height: u32,
    /// Pictures a second
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=240))]
    fps: u32,
    /// How long it is
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// What is in the pictures
    #[arg(long, value_name = "PATTERN", default_value = "bounce")]
    pattern: Pattern,
}

fn side(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(side @ 2..=LARGEST) if side % 2 == 0 => Ok(side),
        _ => Err(format!("it must be an even number from 2 to {LARGEST}")),
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let Args { width, height, fps, duration, pattern, .. } = args;
    let pictures = u64::try_from(duration.as_micros() * u128::from(fps) / 1_000_000)
        .map_err(|_| Failure::Usage("choose a shorter --duration".into()))?;
    let name = match pattern {
        Pattern::Gradient => "gradient.yuv",
        Pattern::Checkerboard => "checkerboard.yuv",
        Pattern::Bounce => "bounce.yuv",
        Pattern::Color => "color.yuv",
    };
    let what = format!("{width}x{height}, yuv420p, {fps} pictures a second, {pictures} pictures");
    let clip = Clip { width, height, fps, pattern };
    write_to(&output(args.output, name), &what, |out| clip.write(out, pictures))
}

struct Clip {
    width: u32,
    height: u32,
    fps: u32,
    pattern: Pattern,
}

impl Clip {
    fn write(&self, out: &mut dyn Write, pictures: u64) -> io::Result<()> {
        let mut picture = Vec::new();
        for number in 0..pictures {
            picture.clear();
            self.draw(number, &mut picture);
            out.write_all(&picture)?;
        }
        Ok(())
    }

    fn draw(&self, number: u64, picture: &mut Vec<u8>) {
        for (plane, step) in [(0, 1), (1, 2), (2, 2)] {
            for y in (0..self.height).step_by(step) {
                let row = (0..self.width).step_by(step);
                picture.extend(row.map(|x| self.colour(x, y, number)[plane]));
            }
        }
    }

    fn colour(&self, x: u32, y: u32, number: u64) -> Colour {
        let second = number / u64::from(self.fps);
        match self.pattern {
            Pattern::Gradient => {
                let part = |at: u32, of: u32| (u64::from(at) * 255 / u64::from(of)) as u8;
                let moved = part(x, self.width).wrapping_add(number as u8);
                [moved, part(y, self.height), part(self.height - y - 1, self.height)]
            }
            Pattern::Checkerboard => {
                let dark = (u64::from(x / SQUARE + y / SQUARE) + second).is_multiple_of(2);
                if dark { BLACK } else { WHITE }
            }
            Pattern::Bounce => {
                let (left, top) = self.ball(number);
                let radius = i64::from(self.radius());
                let distance = |at: u32, start: u32| i64::from(at) - i64::from(start) - radius;
                let (dx, dy) = (distance(x, left), distance(y, top));
                if dx * dx + dy * dy < radius * radius { WHITE } else { BLACK }
            }
            Pattern::Color => COLOURS[(second % COLOURS.len() as u64) as usize],
        }
    }

    fn radius(&self) -> u32 {
        (self.width.min(self.height) / 8).max(1)
    }

    /// The left and upper end of the ball. It moves twice its size to the side and three times down or
    /// up in a second.
    fn ball(&self, number: u64) -> (u32, u32) {
        let size = 2 * self.radius();
        let path = |room: u32, speed: u64| {
            let room = u64::from(room.saturating_sub(size)).max(1);
            let step = u64::from(size) * number * speed / u64::from(self.fps);
            let at = step % (2 * room);
            at.min(2 * room - at) as u32
        };
        (path(self.width, 2), path(self.height, 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(pattern: Pattern) -> Clip {
        Clip { width: 64, height: 48, fps: 10, pattern }
    }

    /// Y, U and V at a place of a picture.
    fn pixel(clip: &Clip, number: u64, x: usize, y: usize) -> Colour {
        let mut picture = Vec::new();
        clip.draw(number, &mut picture);
        let (width, height) = (clip.width as usize, clip.height as usize);
        assert_eq!(picture.len(), width * height * 3 / 2);
        let half = y / 2 * (width / 2) + x / 2;
        let (luma, chroma) = picture.split_at(width * height);
        let (u, v) = chroma.split_at(width * height / 4);
        [luma[y * width + x], u[half], v[half]]
    }

    #[test]
    fn colours_follow_each_other() {
        let clip = clip(Pattern::Color);
        assert_eq!(pixel(&clip, 0, 0, 0), COLOURS[0]);
        assert_eq!(pixel(&clip, 9, 63, 47), COLOURS[0]);
        assert_eq!(pixel(&clip, 10, 63, 47), COLOURS[1]);
        assert_eq!(pixel(&clip, 60, 0, 0), COLOURS[0]);
    }

    #[test]
    fn squares_change_places() {
        let clip = clip(Pattern::Checkerboard);
        assert_eq!(pixel(&clip, 0, 39, 39), BLACK);
        assert_eq!(pixel(&clip, 0, 40, 39), WHITE);
        assert_eq!(pixel(&clip, 0, 40, 40), BLACK);
        assert_eq!(pixel(&clip, 10, 0, 0), WHITE);
    }

    #[test]
    fn a_gradient_rises_and_moves() {
        let clip = clip(Pattern::Gradient);
        assert_eq!(pixel(&clip, 0, 0, 0), [0, 0, 249]);
        assert_eq!(pixel(&clip, 0, 32, 24), [127, 127, 122]);
        assert_eq!(pixel(&clip, 5, 32, 24), [132, 127, 122]);
    }

    #[test]
    fn the_ball_stays_inside_and_moves() {
        let clip = clip(Pattern::Bounce);
        assert_eq!(clip.radius(), 6);
        assert_eq!((pixel(&clip, 0, 6, 6), pixel(&clip, 0, 0, 0)), (WHITE, BLACK));
        assert_eq!(pixel(&clip, 0, 12, 12), BLACK);
        let mut places = Vec::new();
        for number in 0..200 {
            let (left, top) = clip.ball(number);
            assert!(left + 12 <= 64 && top + 12 <= 48, "{number}: {left} {top}");
            assert_eq!(pixel(&clip, number, left as usize + 6, top as usize + 6)[0], WHITE[0]);
            places.push((left, top));
        }
        assert!(places.windows(2).all(|two| two[0] != two[1]));
        assert!(places.iter().any(|place| place.0 > 45) && places.iter().any(|place| place.1 > 30));
    }

    #[test]
    fn the_smallest_picture_can_be_drawn() {
        for pattern in Pattern::value_variants() {
            let clip = Clip { width: 2, height: 2, fps: 1, pattern: *pattern };
            let mut bytes = Vec::new();
            clip.write(&mut bytes, 5).unwrap();
            assert_eq!(bytes.len(), 5 * 6);
        }
    }

    #[test]
    fn sides_are_even() {
        assert_eq!(side("640"), Ok(640));
        for bad in ["0", "1", "641", "7682", "-2", "x"] {
            assert!(side(bad).is_err(), "{bad}");
        }
    }
}
