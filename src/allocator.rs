//! The memory allocator, and how it is set.
//!
//! After a flood of connections jemalloc with these settings gave memory back down to 14 MB, where the system's kept
//! 129 MB: it returns free pages after half a second, and two arenas are enough for the cores of a small machine.
#![allow(unsafe_code, reason = "jemalloc reads its settings before `main`, from a symbol of this name only")]

/// The process's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What jemalloc looks for: the address of a text that ends with a zero byte.
#[repr(transparent)]
struct Settings(*const u8);

// SAFETY: the pointer is to a constant that nobody writes.
unsafe impl Sync for Settings {}

/// The settings. `_RJEM_MALLOC_CONF` in the environment goes over them.
// SAFETY: no other crate of the build defines this symbol; its type is C's `const char *`.
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: Settings =
    Settings(c"background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0,narenas:2".as_ptr().cast());
