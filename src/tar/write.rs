//! The blocks around an entry's contents.

use super::{
    BLOCK, Block, CHECKSUM, GID, Kind, LINK, MAGIC, MODE, NAME, SIZE, TIME, TYPE, UID, checksum,
};

/// What a tar file ends with: two blocks of zeros.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The largest size that eleven octal digits say.
const MAX_OCTAL: u64 = 0o777_7777_7777;

/// The header of an entry: one block, or three where name, link or size are too long for the old form.
/// The time is that of 1970 and the owner is root, always.
pub fn header(path: &str, kind: &Kind, mode: u32, size: u64) -> Vec<u8> {
    let link = match kind {
        Kind::Link(target) | Kind::HardLink(target) => target.as_str(),
        _ => "",
    };
    let mut records = Vec::new();
    if path.len() > NAME.1 {
        records.extend(record("path", path));
    }
    if link.len() > LINK.1 {
        records.extend(record("linkpath", link));
    }
    if size > MAX_OCTAL {
        records.extend(record("size", &size.to_string()));
    }
    let mut bytes = Vec::new();
    if !records.is_empty() {
        let length = records.len() as u64;
        bytes.extend(block("pax", b'x', "", 0o644, length));
        bytes.extend(records);
        bytes.extend(padding(length));
    }
    let kind = match kind {
        Kind::File | Kind::Other => b'0',
        Kind::HardLink(_) => b'1',
        Kind::Link(_) => b'2',
        Kind::Directory => b'5',
    };
    bytes.extend(block(path, kind, link, mode, size));
    bytes
}

/// The zeros behind contents of so many bytes.
pub fn padding(size: u64) -> Vec<u8> {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    vec![0; (BLOCK - over) % BLOCK]
}

fn block(path: &str, kind: u8, link: &str, mode: u32, size: u64) -> Block {
    let mut block = [0; BLOCK];
    let mut put = |(start, length): (usize, usize), bytes: &[u8]| {
        let place = block.get_mut(start..start + length).unwrap_or_default();
        place.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    };
    let octal = |(_, length): (usize, usize), value: u64| {
        format!("{value:0digits$o}", digits = length - 1).into_bytes()
    };
    put(NAME, path.as_bytes());
    put(MODE, &octal(MODE, u64::from(mode)));
    put(UID, &octal(UID, 0));
    put(GID, &octal(GID, 0));
    put(SIZE, &octal(SIZE, if size > MAX_OCTAL { 0 } else { size }));
    put(TIME, &octal(TIME, 0));
    put(TYPE, &[kind]);
    put(LINK, link.as_bytes());
    put(MAGIC, b"ustar\x0000");
    let sum = format!("{:06o}\0 ", checksum(&block));
    let (start, length) = CHECKSUM;
    if let Some(place) = block.get_mut(start..start + length) {
        place.copy_from_slice(sum.as_bytes());
    }
    block
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits (POSIX.1-2001, "pax Extended Header").
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length.to_string().len() + rest.len() != length {
        length = length.to_string().len() + rest.len();
    }
    format!("{length}{rest}").into_bytes()
}
