//! What a client pins instead of a root.

use rustls::pki_types::CertificateDer;

use crate::TlsError;

/// The SHA-256 of a certificate in DER: what a client pins.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Reads a fingerprint as relays print it: 64 hexadecimal digits, with or without colons.
///
/// # Errors
/// [`TlsError::FingerprintDigits`] if it is anything else.
pub fn parse_fingerprint(text: &str) -> Result<[u8; 32], TlsError> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|&char| char != ':')
        .map(|char| char.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()
        .ok_or(TlsError::FingerprintDigits)?;
    if digits.len() != 64 {
        return Err(TlsError::FingerprintDigits);
    }
    Ok(std::array::from_fn(|index| digits[2 * index] << 4 | digits[2 * index + 1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_hexadecimal() {
        let bytes: [u8; 32] = std::array::from_fn(|index| 0xa0 + index as u8);
        let plain: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let colons = bytes.map(|byte| format!("{byte:02X}")).join(":");
        assert_eq!(parse_fingerprint(&plain), Ok(bytes));
        assert_eq!(parse_fingerprint(&colons), Ok(bytes));
        for bad in ["", "a0", &plain[1..], &format!("{plain}00"), &plain.replace('a', "g")] {
            assert_eq!(parse_fingerprint(bad), Err(TlsError::FingerprintDigits), "{bad}");
        }
    }
}
