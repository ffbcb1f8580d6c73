//! The suite of every runtime, on smol.

#[path = "../../runtime/tests/suite/mod.rs"]
mod bodies;

bodies::suite!(smol, smoq_smol::Smol, ::smol::block_on);
