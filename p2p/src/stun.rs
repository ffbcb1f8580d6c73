//! STUN binding, as far as a client needs it to learn how the world sees one of its sockets (RFC 8489).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const REQUEST: [u8; 2] = [0x00, 0x01];
const SUCCESS: [u8; 2] = [0x01, 0x01];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const MAPPED_ADDRESS: u16 = 0x0001;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// What ties an answer to its request. Nobody who does not see the request can guess it.
pub(crate) type Transaction = [u8; 12];

pub(crate) fn request(transaction: &Transaction) -> Vec<u8> {
    [&REQUEST[..], &[0, 0], &COOKIE, transaction].concat()
}

/// The transaction and the address in it, if this answers a binding request with success.
pub(crate) fn answer(datagram: &[u8]) -> Option<(Transaction, SocketAddr)> {
    let (header, body) = datagram.split_at_checked(HEADER)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[..2] != SUCCESS || header[4..8] != COOKIE || body.len() != length {
        return None;
    }
    let transaction = header[8..].try_into().ok()?;
    let mut plain = None;
    let mut rest = body;
    while let Some((head, after)) = rest.split_at_checked(4) {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = after.get(..length)?;
        match u16::from_be_bytes([head[0], head[1]]) {
            XOR_MAPPED_ADDRESS => return Some((transaction, address(value, &header[4..])?)),
            MAPPED_ADDRESS => plain = Some(address(value, &[0; 16])?),
            _ => {}
        }
        // Attributes are padded to four bytes; the last one may end with the message.
        rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    plain.map(|address| (transaction, address))
}

/// An address, with `mask` over it.
fn address(value: &[u8], mask: &[u8]) -> Option<SocketAddr> {
    let (head, ip) = value.split_at_checked(4)?;
    let port = u16::from_be_bytes([head[2] ^ mask[0], head[3] ^ mask[1]]);
    let bytes: Vec<u8> = ip.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    let ip = match head[1] {
        1 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        2 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a server answers.
    pub(crate) fn success(request: &[u8], seen: SocketAddr) -> Vec<u8> {
        let mask = &request[4..20];
        let xor =
            |bytes: &[u8]| -> Vec<u8> { bytes.iter().zip(mask).map(|(a, b)| a ^ b).collect() };
        let (family, ip) = match seen.ip() {
            IpAddr::V4(ip) => (1, xor(&ip.octets())),
            IpAddr::V6(ip) => (2, xor(&ip.octets())),
        };
        let value = [&[0, family], &xor(&seen.port().to_be_bytes())[..], &ip].concat();
        // An attribute that nobody knows, of three bytes, goes before it.
        let body =
            [&[0x80, 0x22, 0, 3, 1, 2, 3, 0, 0, 0x20, 0, value.len() as u8], &value[..]].concat();
        [&SUCCESS, &(body.len() as u16).to_be_bytes(), mask, &body].concat()
    }

    #[test]
    fn the_answer_tells_the_address() {
        // The example of RFC 5769, 2.2, without its integrity and fingerprint.
        let transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let head = [&[1, 1, 0, 12], &COOKIE[..], &transaction].concat();
        let attribute = [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        let seen = "192.0.2.1:32853".parse().unwrap();
        assert_eq!(answer(&[&head[..], &attribute].concat()), Some((transaction, seen)));

        for seen in ["192.0.2.1:32853", "[2001:db8::1]:9"].map(|seen| seen.parse().unwrap()) {
            let answered = success(&request(&transaction), seen);
            assert_eq!(answer(&answered), Some((transaction, seen)));
            for cut in 0..answered.len() {
                assert_eq!(answer(&answered[..cut]), None);
            }
        }
    }

    #[test]
    fn servers_of_old_do_not_mask_it() {
        let head = [&[1, 1, 0, 12], &COOKIE[..], &[7; 12]].concat();
        let attribute = [0, 1, 0, 8, 0, 1, 0, 80, 192, 0, 2, 9];
        let told = answer(&[&head[..], &attribute].concat());
        assert_eq!(told, Some(([7; 12], "192.0.2.9:80".parse().unwrap())));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let head = [&[1, 1, 0, body.len() as u8], &COOKIE[..], &[0; 12]].concat();
            answer(&[&head[..], &body].concat());
            answer(&body);
        }
    }
}
