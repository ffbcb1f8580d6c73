//! Writes the seeds: `cargo run -p smoq-fuzz --example seeds`. They are what the encoders of the crates
//! under test make, so they begin where random bytes hardly come.

mod core;
mod h3;
mod networks;

use std::{fs, io, path::Path};

use bytes::BytesMut;

fn main() -> io::Result<()> {
    h3::seeds()?;
    core::seeds()?;
    networks::seeds()
}

fn made(encode: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.into()
}

fn write(body: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(body);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}
