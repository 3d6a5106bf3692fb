//! A stream → entries, one after another.

use std::io::{self, Read, Seek, SeekFrom};

use super::{
    BLOCK, Block, CHECKSUM, Kind, LINK, MAGIC, MODE, NAME, PREFIX, SIZE, TYPE, checksum, field,
};

/// The longest extension that is read: Linux takes paths of 4 KiB.
const MAX_EXTENSION: u64 = 1 << 20;

/// More extensions of one entry than this are nobody's.
const MAX_EXTENSIONS: usize = 16;

/// What is wrong with a tar file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read, or ends in the middle of something.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A header is none.
    #[error("the tar header at {at:#x} has a wrong checksum")]
    Checksum {
        /// Where it begins.
        at: u64,
    },
    /// A header says what cannot be.
    #[error("the tar header at {at:#x} is malformed: {reason}")]
    Header {
        /// Where it begins.
        at: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, as it stands there.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// The permission bits.
    pub mode: u32,
    /// The length of the contents in bytes.
    pub size: u64,
    /// Where in the stream the contents begin.
    pub offset: u64,
}

/// The entries of a tar file.
#[derive(Debug)]
pub struct Entries<R> {
    inner: R,
    skip: fn(&mut R, u64) -> io::Result<()>,
    /// Where in the stream we are.
    position: u64,
    /// How much of the contents of the entry before is still to come, and how much padding.
    contents: u64,
    padding: u64,
}

/// Passes over bytes of a stream by reading them.
pub fn read_past<R: Read>(inner: &mut R, count: u64) -> io::Result<()> {
    if io::copy(&mut inner.take(count), &mut io::sink())? < count {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Passes over bytes of a file without reading them. Past the end of the file is no error here: what is there, whoever
/// asks for contents has to see.
pub fn seek_past<R: Seek>(inner: &mut R, count: u64) -> io::Result<()> {
    let count = i64::try_from(count).map_err(|_| io::ErrorKind::UnexpectedEof)?;
    inner.seek(SeekFrom::Current(count)).map(|_| ())
}

impl<R: Read> Entries<R> {
    /// The entries of a stream; `skip` passes over contents that nobody reads.
    pub fn new(inner: R, skip: fn(&mut R, u64) -> io::Result<()>) -> Self {
        Self { inner, skip, position: 0, contents: 0, padding: 0 }
    }

    /// The next entry; nothing at the end.
    ///
    /// # Errors
    /// A header that is none or says what cannot be; a stream that ends in the middle.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        let (mut path, mut link, mut size) = (None, None, None);
        for _ in 0..MAX_EXTENSIONS {
            self.pass()?;
            let at = self.position;
            let Some(block) = self.block()? else { return Ok(None) };
            if block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            let header = |reason| Error::Header { at, reason };
            let stated = number(field(&block, CHECKSUM));
            if stated != Some(checksum(&block)) {
                return Err(Error::Checksum { at });
            }
            let own_size =
                number(field(&block, SIZE)).ok_or_else(|| header("its size is no number"))?;
            let kind = field(&block, TYPE).first().copied().unwrap_or_default();
            match kind {
                b'L' => path = Some(until_zero(&self.extension(at, own_size)?)),
                b'K' => link = Some(until_zero(&self.extension(at, own_size)?)),
                b'x' => {
                    for (key, value) in records(&self.extension(at, own_size)?)
                        .ok_or_else(|| header("its records are none"))?
                    {
                        match key.as_str() {
                            "path" => path = Some(value),
                            "linkpath" => link = Some(value),
                            "size" => {
                                size = Some(
                                    value.parse().map_err(|_| header("its size is no number"))?,
                                )
                            }
                            _ => {}
                        }
                    }
                }
                // What it says for all entries is never a name or a size.
                b'g' => drop(self.extension(at, own_size)?),
                _ => {
                    let size = size.unwrap_or(own_size);
                    let path = path.unwrap_or_else(|| own_path(&block));
                    let link = link.unwrap_or_else(|| until_zero(field(&block, LINK)));
                    return self.entry(at, &block, kind, path, link, size).map(Some);
                }
            }
        }
        Err(Error::Header { at: self.position, reason: "it has too many extensions" })
    }

    fn entry(
        &mut self,
        at: u64,
        block: &Block,
        kind: u8,
        path: String,
        link: String,
        size: u64,
    ) -> Result<Entry, Error> {
        let is_directory = path.ends_with('/');
        let kind = match kind {
            // A name that ends in a slash is a directory's, in tars older than the type for it.
            b'0' | 0 | b'7' if !is_directory => Kind::File,
            b'0' | 0 | b'5' => Kind::Directory,
            b'1' => Kind::HardLink(link),
            b'2' => Kind::Link(link),
            b'S' => {
                return Err(Error::Header {
                    at,
                    reason: "it is of a sparse file, which no image needs",
                });
            }
            _ => Kind::Other,
        };
        // Links, directories and devices have no contents, whatever they say (POSIX.1-2001, "ustar", size).
        let holds = matches!(kind, Kind::File | Kind::Other);
        let size = if holds { size } else { 0 };
        let blocks = size.checked_next_multiple_of(BLOCK as u64);
        let padded = blocks.filter(|padded| self.position.checked_add(*padded).is_some());
        let padded = padded.ok_or(Error::Header { at, reason: "its size is beyond all files" })?;
        (self.contents, self.padding) = (size, padded - size);
        let mode = number(field(block, MODE)).unwrap_or(0) & 0o7777;
        let mode = u32::try_from(mode).unwrap_or(0);
        Ok(Entry { path, kind, mode, size, offset: self.position })
    }

    /// The contents of the entry that came last.
    pub fn contents(&mut self) -> impl Read + '_ {
        Contents(self)
    }

    /// Passes over what is left of the entry before.
    fn pass(&mut self) -> Result<(), Error> {
        let left = self.contents + self.padding;
        (self.contents, self.padding) = (0, 0);
        if left > 0 {
            (self.skip)(&mut self.inner, left)?;
            self.position += left;
        }
        Ok(())
    }

    /// The next block; nothing at the end of the stream.
    fn block(&mut self) -> Result<Option<Block>, Error> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.inner.read(rest) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.position += BLOCK as u64;
        Ok(Some(block))
    }

    fn extension(&mut self, at: u64, size: u64) -> Result<Vec<u8>, Error> {
        if size > MAX_EXTENSION {
            return Err(Error::Header { at, reason: "its extension is longer than any name" });
        }
        let mut bytes = Vec::new();
        (self.contents, self.padding) = (size, size.next_multiple_of(BLOCK as u64) - size);
        self.contents().read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(bytes)
    }
}

struct Contents<'a, R>(&'a mut Entries<R>);

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.0.contents).unwrap_or(usize::MAX));
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let count = self.0.inner.read(buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.contents -= count as u64;
        self.0.position += count as u64;
        Ok(count)
    }
}

fn until_zero(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// The name of the header itself; ustar puts the directories of a long one into a second field, GNU has dates there.
fn own_path(block: &Block) -> String {
    let name = until_zero(field(block, NAME));
    let prefix = until_zero(field(block, PREFIX));
    let is_ustar = field(block, MAGIC).starts_with(b"ustar\0");
    if is_ustar && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
}

/// Octal digits, or GNU's form for more of them: a set bit, and then the number itself.
fn number(bytes: &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    if *first == 0x80 {
        return rest
            .iter()
            .try_fold(0u64, |value, byte| value.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let text = std::str::from_utf8(bytes).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// `LENGTH KEY=VALUE\n`, one after another (POSIX.1-2001, "pax Extended Header").
fn records(mut bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(bytes.get(..blank)?).ok()?.parse().ok()?;
        let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
        let equal = record.iter().position(|byte| *byte == b'=')?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        found.push((text(record.get(..equal)?), text(record.get(equal + 1..)?)));
        bytes = bytes.get(length..)?;
    }
    Some(found)
}
