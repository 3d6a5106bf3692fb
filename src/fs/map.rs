//! Files as memory: the one place that is not safe by construction.
//!
//! # Safety
//!
//! Rust takes bytes behind a `&[u8]` for unchanging, and another process can change a file. What that rests on here:
//!
//! - Who reads a [`Map`] checks each access by itself. Bytes that change meanwhile can make an output wrong, and
//!   [`super::Contents::unchanged`] reports it before an output gets its name.
//! - A file that gets shorter, or that cannot be read, would end the process (SIGBUS). [`on_bus`] puts a page of zeros
//!   where one is missing.
//! - [`release`] gives back pages that nobody wrote to, so that they read the same when they come again.
#![expect(unsafe_code, reason = "mapping memory and answering SIGBUS have no safe form")]

use std::fs::File;
use std::mem::MaybeUninit;
use std::ops::{Deref, Range};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use libc::{c_int, c_void};
use memmap2::{Mmap, MmapOptions};

use super::place;

/// A file as memory, with pages of its own where it was patched.
pub(super) struct Map {
    memory: Mmap,
    slot: &'static Slot,
}

/// What the handler of SIGBUS and [`release`] know of a map: addresses.
struct Slot {
    taken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    /// Pages that were written to; 0 is none.
    written: [AtomicUsize; 8],
    /// Whether a page was missing.
    has_holes: AtomicBool,
}

/// Who wants more of them at a time reads files instead.
static SLOTS: [Slot; 32] = [const {
    Slot {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        written: [const { AtomicUsize::new(0) }; 8],
        has_holes: AtomicBool::new(false),
    }
}; 32];

impl Slot {
    /// A free one for these addresses.
    fn take(memory: &[u8]) -> Option<&'static Self> {
        let slot = SLOTS.iter().find(|slot| !slot.taken.swap(true, SeqCst))?;
        slot.has_holes.store(false, SeqCst);
        slot.written.iter().for_each(|page| page.store(0, SeqCst));
        let Range { start, end } = addresses(memory);
        slot.start.store(start, SeqCst);
        slot.end.store(end, SeqCst);
        Some(slot)
    }

    fn give_back(&self) {
        self.end.store(0, SeqCst);
        self.taken.store(false, SeqCst);
    }

    fn holds(&self, addresses: &Range<usize>) -> bool {
        self.start.load(SeqCst) <= addresses.start && addresses.end <= self.end.load(SeqCst)
    }

    /// Notes that a page was written to; not more than there is room for.
    fn note_written(&self, page: usize) -> Option<()> {
        let mut places = self.written.iter();
        let place = places.find(|place| [0, page].contains(&place.load(SeqCst)))?;
        place.store(page, SeqCst);
        Some(())
    }
}

impl Map {
    /// A file, to be read alone; `None` where the system does not map it.
    pub(super) fn of(file: &File) -> Option<Self> {
        page_size()?;
        // SAFETY: the module says what a change of the file leads to.
        let memory = unsafe { MmapOptions::new().map(file) }.ok()?;
        let slot = Slot::take(&memory)?;
        Some(Self { memory, slot })
    }

    /// So many bytes of a file with others at some offsets; `None` also where these are too far from each other.
    pub(super) fn patched<'new>(
        file: &File,
        len: usize,
        patches: impl Iterator<Item = (u64, &'new [u8])>,
    ) -> Option<Self> {
        let page_size = page_size()?;
        // SAFETY: the module says what a change of the file leads to.
        let mut memory = unsafe { MmapOptions::new().len(len).map_copy(file) }.ok()?;
        let slot = Slot::take(&memory)?;
        let mut put = |(offset, new): (u64, &[u8])| {
            let place = place(&mut memory, offset, new.len())?;
            let Range { start, end } = addresses(place);
            place.copy_from_slice(new);
            let pages = (start / page_size..end.div_ceil(page_size)).map(|page| page * page_size);
            pages.map(|page| slot.note_written(page)).collect()
        };
        let all: Option<()> = patches.map(&mut put).collect();
        match memory.make_read_only().ok().filter(|_| all.is_some()) {
            Some(memory) => Some(Self { memory, slot }),
            None => {
                slot.give_back();
                None
            }
        }
    }

    /// Whether zeros stand where the file could not be read.
    pub(super) fn has_holes(&self) -> bool {
        self.slot.has_holes.load(SeqCst)
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        self.slot.give_back();
    }
}

/// Files up to this size in bytes stay in memory: to look at them again costs more than they do.
const SMALL: usize = if cfg!(test) { 1 } else { 320 << 20 };

/// Gives back the pages that lie whole in these bytes, if they are of a map of a large file. A stretch with a page that was
/// written to stays.
pub(super) fn release(bytes: &[u8]) {
    let Some((slot, pages)) = pages(bytes) else { return };
    if slot.end.load(SeqCst) - slot.start.load(SeqCst) <= SMALL
        || slot.written.iter().any(|page| pages.contains(&page.load(SeqCst)))
    {
        return;
    }
    // SAFETY: these pages are of a file and as it has them, so the next look at them reads them again.
    unsafe { advise(pages, libc::MADV_DONTNEED) };
}

/// Has the pages that lie whole in these bytes at hand before they are looked at, if they are of a map: with one question to
/// the system instead of one for a few pages each. An older system does not know this and is not missed.
pub(super) fn expect(bytes: &[u8]) {
    #[cfg(target_os = "linux")]
    if let Some((_, pages)) = pages(bytes) {
        // SAFETY: reading pages changes nothing in them.
        unsafe { advise(pages, libc::MADV_POPULATE_READ) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = bytes;
}

/// The addresses of the pages that lie whole in these bytes, and the map that they are of.
fn pages(bytes: &[u8]) -> Option<(&'static Slot, Range<usize>)> {
    let page_size = PAGE_SIZE.get().copied().flatten()?;
    let addresses = addresses(bytes);
    let slot = SLOTS.iter().find(|slot| slot.holds(&addresses))?;
    let start = addresses.start.next_multiple_of(page_size);
    let pages = start..addresses.end / page_size * page_size;
    (!pages.is_empty()).then_some((slot, pages))
}

/// Says something of pages of a map.
unsafe fn advise(pages: Range<usize>, advice: c_int) {
    let start = ptr::with_exposed_provenance_mut(pages.start);
    // SAFETY: who calls this says why it is.
    unsafe { libc::madvise(start, pages.end - pages.start, advice) };
}

fn addresses(bytes: &[u8]) -> Range<usize> {
    let start = bytes.as_ptr().expose_provenance();
    start..start + bytes.len()
}

/// In bytes; `None` where nothing can be mapped. There once [`on_bus`] is in its place.
static PAGE_SIZE: OnceLock<Option<usize>> = OnceLock::new();
/// Who was asked on SIGBUS before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

fn page_size() -> Option<usize> {
    *PAGE_SIZE.get_or_init(|| {
        // SAFETY: a question without side effects.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let mut before = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: the structures are plain data for which zeros are a value, and live as long as the calls; `on_bus` calls
        // nothing that a signal handler may not.
        let answered = unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = on_bus as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            let asked = libc::sigaction(libc::SIGBUS, ptr::null(), before.as_mut_ptr()) == 0;
            let _ = BEFORE.set(before.assume_init());
            asked && libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) == 0
        };
        usize::try_from(size).ok().filter(|size| answered && size.is_power_of_two())
    })
}

/// Puts a page of zeros where a map has one that the file does not.
extern "C" fn on_bus(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the system gives the handler a valid one.
    let address = unsafe { (*info).si_addr() }.expose_provenance();
    let ours = SLOTS.iter().find(|slot| slot.holds(&(address..address + 1)));
    if let (Some(slot), Some(Some(size))) = (ours, PAGE_SIZE.get()) {
        slot.has_holes.store(true, SeqCst);
        let page = ptr::with_exposed_provenance_mut(address / size * size);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_ANONYMOUS;
        // SAFETY: the page is within a map of ours, and cannot be read.
        if unsafe { libc::mmap(page, *size, access, kind, -1, 0) } != libc::MAP_FAILED {
            return;
        }
    }
    // The instruction runs again, and whoever was asked before is asked then.
    if let Some(before) = BEFORE.get() {
        // SAFETY: it is what the system gave.
        unsafe { libc::sigaction(libc::SIGBUS, before, ptr::null_mut()) };
    }
}
