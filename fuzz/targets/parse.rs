//! Whatever the bytes are: a view of them or an error, and everything that can be asked of the view has an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use object::elf;
use xpost::elf::{ByteMap, Elf};
use xpost::inspect;

fuzz_target!(|data: &[u8]| {
    let Ok(elf) = Elf::parse(data) else { return };
    for section in elf.sections() {
        let _ = (section.display_name(), section.range(), elf.compressed(section));
    }
    for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
        if let Ok(Some(table)) = elf.symbols(kind) {
            for symbol in table.iter() {
                let _ = symbol.display_name();
            }
        }
    }
    for note in elf.notes() {
        let _ = note;
    }
    let _ = (ByteMap::new(&elf), inspect::build_id(&elf), inspect::load_digest(&elf));
    let _ = inspect::Platform::of(&elf, None);
});
