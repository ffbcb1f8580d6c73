//! The suite of every runtime, on async-std.

#[path = "../../runtime/tests/suite/mod.rs"]
mod bodies;

bodies::suite!(async_std, smoq_smol::AsyncStd, ::async_std::task::block_on);
