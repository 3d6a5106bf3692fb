//! PEM: a label and the DER below it (RFC 7468).
//!
//! Keys come from other people's files, so the label decides first: most mistakes (a public key where a
//! private one belongs, an encrypted key, a certificate) are named before a byte is decoded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The largest key file that is read; an RSA-8192 key has 6 KiB.
pub(super) const MAX_LENGTH: usize = 64 << 10;

/// One block of a PEM file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// `PRIVATE KEY`, `PUBLIC KEY`, …
    pub(super) label: String,
    /// What was encoded; `None` where the block is no base64, as in keys with header lines.
    pub(super) der: Option<Vec<u8>>,
}

/// The first block that is not `EC PARAMETERS`, which `openssl ecparam -genkey` puts before the key.
pub(super) fn parse(bytes: &[u8]) -> Option<Block> {
    let mut rest = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_LENGTH)?;
    loop {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let (label, after) = after.split_once("-----")?;
        let (body, after) = after.split_once(&format!("-----END {label}-----"))?;
        if label != "EC PARAMETERS" {
            let body: String = body.split_ascii_whitespace().collect();
            return Some(Block { label: label.to_owned(), der: STANDARD.decode(body).ok() });
        }
        rest = after;
    }
}

/// A PEM file with lines of 64 characters, as openssl writes it.
pub(super) fn format(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, character) in STANDARD.encode(der).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for length in [1, 47, 48, 49, 200] {
            let der = vec![7; length];
            let text = format("PUBLIC KEY", &der);
            assert!(text.lines().all(|line| line.len() <= 64));
            let block = Block { label: "PUBLIC KEY".to_owned(), der: Some(der) };
            assert_eq!(parse(text.as_bytes()), Some(block), "{length}");
            let windows = format!("some words\r\n{}", text.replace('\n', "\r\n"));
            assert_eq!(parse(windows.as_bytes()), parse(text.as_bytes()));
        }
    }

    #[test]
    fn mean_texts_are_no_pem() {
        for text in ["", "-----BEGIN ", "-----BEGIN X-----", "-----BEGIN X-----\n-----END Y-----"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"\xff-----BEGIN X-----\n-----END X-----"), None);
        assert_eq!(parse(&vec![b'a'; MAX_LENGTH + 1]), None);
        let block = parse(b"-----BEGIN X-----\nProc-Type: 4\n-----END X-----");
        assert_eq!(block, Some(Block { label: "X".to_owned(), der: None }));
    }
}
