//! Several transfers at once, because a registry far away answers slowly, and not slower for four; and both ends of one
//! transfer at once, because a blob takes as long to hash as it takes to write.

use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::thread;

use super::Error;
use crate::parallel;

/// So many; registries slow down whoever takes more.
const WORKERS: usize = 4;

/// Does `work` for each item, a few at once; gives what came of it in the order of the items.
///
/// # Errors
/// The first in that order. After one has failed no other is begun.
pub(super) fn each<'items, T: Sync, R: Send>(
    items: &'items [T],
    work: impl Fn(&'items T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    parallel::each(WORKERS, items, || (), |(), item| work(item))
}

/// What is read before it is written: large enough that two threads seldom wait for each other.
const PIECE: u64 = 1 << 18;

/// Copies to the end. Of more than one piece a thread writes, while this one reads and does what reading takes: a blob is
/// hashed meanwhile, or waited for.
///
/// # Errors
/// The first of either side.
pub(super) fn copy(from: &mut dyn Read, to: &mut (dyn Write + Send)) -> io::Result<()> {
    let mut piece = Vec::new();
    from.take(PIECE).read_to_end(&mut piece)?;
    if (piece.len() as u64) < PIECE {
        return to.write_all(&piece);
    }
    let (filled, pieces) = mpsc::sync_channel::<Vec<u8>>(2);
    let (written, empty) = mpsc::channel();
    let write = move || {
        pieces.into_iter().try_for_each(|piece| {
            to.write_all(&piece)?;
            // Nobody wants it back at the end.
            let _ = written.send(piece);
            Ok(())
        })
    };
    let read = move || {
        // Dropped at the end: the writer has nothing to wait for then. One that has failed says so itself.
        let filled = filled;
        while !piece.is_empty() && filled.send(std::mem::take(&mut piece)).is_ok() {
            piece = empty.try_recv().unwrap_or_default();
            piece.clear();
            from.take(PIECE).read_to_end(&mut piece)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let writer = scope.spawn(write);
        let read = read();
        match writer.join() {
            Ok(wrote) => read.and(wrote),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_bytes_whatever_their_number() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE, 9 * PIECE + 7] {
            let bytes: Vec<u8> = (0..length).map(|count| (count % 251) as u8).collect();
            let mut out = Vec::new();
            copy(&mut bytes.as_slice(), &mut out).expect("a vector takes all");
            assert!(out == bytes, "{length}");
        }
    }

    #[test]
    fn a_copy_ends_with_the_failure_of_either_side() {
        struct Full(u64);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 =
                    self.0.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        for room in [0, PIECE, 3 * PIECE] {
            let full = copy(&mut io::repeat(1), &mut Full(room)).expect_err("full");
            assert_eq!(full.kind(), io::ErrorKind::StorageFull);
            let broken = copy(&mut io::repeat(1).take(room).chain(Broken), &mut io::sink());
            assert_eq!(broken.expect_err("broken").kind(), io::ErrorKind::ConnectionReset);
        }
    }
}
