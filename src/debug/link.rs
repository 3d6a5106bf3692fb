//! `.gnu_debuglink`: how a slim file without build-id, and every file beside its debug file, is found.

use std::io;

use crate::slim::{DebugLink, Layout};

/// The link to a debug file of that name and layout. The checksum is that of its final bytes: compress
/// a debug file afterwards and gdb refuses it.
pub fn link(name: &str, debug: &Layout<'_>) -> DebugLink {
    let mut hasher = Crc(crc32fast::Hasher::new());
    debug.write_to(&mut hasher).expect("a checksum takes all");
    DebugLink { name: name.to_owned(), crc: hasher.0.finalize() }
}

/// The checksum that a debuglink holds: CRC-32 as in zlib (GDB manual, "Separate Debug Files").
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

struct Crc(crc32fast::Hasher);

impl io::Write for Crc {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
