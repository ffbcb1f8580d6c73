//! Without the feature `h3` no connection has one of these.

use bytes::Bytes;
use quinn_proto::{self as quic, VarInt};
use smoq_core::{
    StreamId, Version,
    wire::{SessionCode, StreamCode},
};

use super::News;

pub(crate) enum Web {}

impl Web {
    pub(crate) const AVAILABLE: bool = false;

    pub(crate) fn server(_: Vec<Version>) -> Option<Self> {
        None
    }

    pub(crate) fn client(_: String, _: String, _: &[Version]) -> Option<Self> {
        None
    }

    pub(crate) fn opened(&mut self, _: StreamId) {
        match *self {}
    }

    pub(crate) fn received(&mut self, _: StreamId, _: Bytes, _: bool) -> Option<Bytes> {
        match *self {}
    }

    pub(crate) fn reset(&mut self, _: StreamId, _: StreamCode) -> Option<StreamCode> {
        match *self {}
    }

    pub(crate) fn stopped(&mut self, _: StreamId, _: StreamCode) -> Option<StreamCode> {
        match *self {}
    }

    pub(crate) fn step(&mut self, _: &mut quic::Connection) -> Option<News> {
        match *self {}
    }

    pub(crate) fn accept(&mut self, _: Version) {
        match *self {}
    }

    pub(crate) fn refuse(&mut self, _: u16) {
        match *self {}
    }

    pub(crate) fn close(&mut self, _: SessionCode, _: &str) {
        match *self {}
    }

    pub(crate) fn begin_stream(&mut self, _: quic::StreamId) {
        match *self {}
    }

    pub(crate) fn finish_stream(&mut self, _: quic::StreamId) {
        match *self {}
    }

    pub(crate) fn forget_stream(&mut self, _: quic::StreamId) {
        match *self {}
    }

    pub(crate) fn flush(&mut self, _: &mut quic::Connection, _: quic::StreamId) -> bool {
        match *self {}
    }

    pub(crate) fn has_datagrams(&self) -> bool {
        match *self {}
    }

    pub(crate) fn datagram_lead(&mut self) -> Bytes {
        match *self {}
    }

    pub(crate) fn datagram(&self, _: Bytes) -> Option<Bytes> {
        match *self {}
    }

    pub(crate) fn no_error(&self) -> VarInt {
        match *self {}
    }

    pub(crate) fn take_end(&mut self) -> Option<(VarInt, String)> {
        match *self {}
    }

    pub(crate) fn session_code(&self, _: VarInt) -> Option<SessionCode> {
        match *self {}
    }
}
