//! Named sets of symbols that programs and tools look for by name, and what breaks without each.

use crate::elf::Symbol;

/// What a program of a kind needs of its symbols although it is stripped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// `__rust_begin_short_backtrace` and `__rust_end_short_backtrace`: between these the standard library
    /// prints. Without them RUST_BACKTRACE=1 prints an empty list, whatever else is kept.
    Rust,
    /// `go:func.*` (`go.func.*` before Go 1.20): without it govulncheck cannot read which functions a program
    /// calls. Tracebacks and `go version -m` need no symbols.
    Go,
    /// What libthread_db looks up in glibc, and the allocator: without the debug file gdb knows no threads of a static
    /// program otherwise, and valgrind does not see its allocations.
    C,
    /// Every function: what bpftrace and perf attach to by name, and what profilers name frames by.
    Bpf,
}

/// What GDB and valgrind look up (glibc, nptl_db/structs.def and `__nptl_version`; valgrind, vg_replace_malloc.c).
const C: [&[u8]; 12] = [
    b"nptl_version",
    b"_dl_stack_used",
    b"_dl_stack_user",
    b"_dl_stack_cache",
    b"malloc",
    b"calloc",
    b"realloc",
    b"free",
    b"memalign",
    b"posix_memalign",
    b"aligned_alloc",
    b"malloc_usable_size",
];

impl Preset {
    /// Whether it speaks of a symbol, by its name in the file: mangled names hold these names as they are.
    pub(super) fn chooses(self, symbol: &Symbol<'_>) -> bool {
        let holds = |part: &[u8]| symbol.name.windows(part.len()).any(|window| window == part);
        match self {
            Self::Rust => {
                holds(b"__rust_begin_short_backtrace") || holds(b"__rust_end_short_backtrace")
            }
            Self::Go => matches!(symbol.name, b"go:func.*" | b"go.func.*"),
            Self::C => {
                C.contains(&symbol.name)
                    || [b"_thread_db_".as_slice(), b"__nptl_", b"__pthread_keys"]
                        .iter()
                        .any(|start| symbol.name.starts_with(start))
            }
            Self::Bpf => symbol.is_function() && !symbol.is_undefined(),
        }
    }
}
