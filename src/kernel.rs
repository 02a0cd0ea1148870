//! What no crate asks of the kernel safely, or not at this price: huge pages for huge tables, how full a socket's receive queue
//! is, and many datagrams in one call. The one file that needs `unsafe`.
//!
//! A look at one of a million peers, in random order, misses more than the cache: its page is not among those whose
//! place the processor remembers either, and on a virtual machine finding it takes a walk of up to 24 more looks. Pages of
//! 2 MiB in place of 4 KiB end that; benches/PROFILE.md has the figures. The kernel gives them where it is asked
//! (`/sys/kernel/mm/transparent_hugepage/enabled` says `madvise` on most systems), and only for what is used, 2 MiB at
//! a time. An allocator is where the asking has to happen, because the tables belong to the engine, which knows no
//! operating system.

#![expect(
    unsafe_code,
    reason = "an allocator and a system call cannot be written without; nothing else in this repository is unsafe"
)]

use std::alloc::{GlobalAlloc, Layout, System};
#[cfg(target_os = "linux")]
use std::io;
#[cfg(target_os = "linux")]
use std::mem::MaybeUninit;
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, BorrowedFd};

#[cfg(target_os = "linux")]
use socket2::SockAddr;

/// Allocations of so many bytes are tables: below, whole pages of 2 MiB would waste more than they save.
const TABLE: usize = 32 << 20;
/// Bytes of a huge page. Only whole ones can be asked for.
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// The system's allocator, which asks the kernel for huge pages for what is 32 MiB and larger. Elsewhere than on Linux it
/// is the system's allocator.
///
/// The program `signallingserver` uses it. An application that embeds a server for very many peers may too:
///
/// ```
/// use roundtable_signalling::kernel::HugePages;
///
/// #[global_allocator]
/// static MEMORY: HugePages = HugePages;
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HugePages;

// SAFETY: every call goes to `System` with the very arguments, and its result is returned as it is. In between the kernel
// is told how the memory of a new allocation is best mapped, which changes neither its contents nor who owns it.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is `System`'s.
        asked_for(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is `System`'s.
        asked_for(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: what is given back came from `System`, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: what grows or shrinks came from `System`, with this layout.
        asked_for(unsafe { System.realloc(memory, layout, size) }, size)
    }
}

/// Asks for huge pages if this is a table, and returns it.
fn asked_for(memory: *mut u8, size: usize) -> *mut u8 {
    if size >= TABLE && !memory.is_null() {
        ask(memory, size);
    }
    memory
}

#[cfg(target_os = "linux")]
fn ask(memory: *mut u8, size: usize) {
    let to_first = memory.align_offset(HUGE_PAGE);
    let whole = size.saturating_sub(to_first) / HUGE_PAGE * HUGE_PAGE;
    // SAFETY: the stretch lies within an allocation of `size` bytes that was just made, and the advice changes no byte.
    // A kernel without huge pages refuses, and then the pages are small.
    let _refused = unsafe { libc::madvise(memory.wrapping_add(to_first).cast(), whole, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
const fn ask(_: *mut u8, _: usize) {}

/// Memory of a socket's receive queue, in bytes as the kernel counts them: a datagram with all that it takes to keep it.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backlog {
    pub(crate) used: u32,
    pub(crate) granted: u32,
}

/// Tells how full the receive queue of a socket is (`SO_MEMINFO`, Linux 4.12); none where the kernel does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn backlog(socket: BorrowedFd<'_>) -> Option<Backlog> {
    // In the order of linux/sock_diag.h: SK_MEMINFO_RMEM_ALLOC, SK_MEMINFO_RCVBUF, and what is of no interest here.
    let mut figures = [0_u32; 9];
    let mut length = size_of_val(&figures) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which is what `figures` has, and any bytes are numbers.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            figures.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let [used, granted, ..] = figures;
    (failed == 0).then_some(Backlog { used, granted })
}

/// Datagrams that one call sends, at most: as many as one call receives.
pub(crate) const SENT_MAX: usize = 32;

/// Sends the first [`SENT_MAX`] datagrams in one call (`sendmmsg`), and tells how many the kernel took. Why it did not take
/// the next is what a call that begins with that one says.
///
/// # Errors
/// The kernel's reason why it did not take the first.
#[cfg(target_os = "linux")]
pub(crate) fn send<'a>(
    socket: BorrowedFd<'_>,
    datagrams: impl Iterator<Item = (SockAddr, &'a [u8])>,
) -> io::Result<usize> {
    let mut names = [const { MaybeUninit::<SockAddr>::uninit() }; SENT_MAX];
    let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; SENT_MAX];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; SENT_MAX];
    let mut count: libc::c_uint = 0;
    let places = names.iter_mut().zip(&mut parts).zip(&mut headers);
    for ((name, bytes), ((to, part), header)) in datagrams.zip(places) {
        let to = to.write(name);
        // Only read by the kernel.
        let part =
            part.write(libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
        let header = header.as_mut_ptr().cast::<libc::mmsghdr>();
        // SAFETY: a header of zeros has no name, no parts and no control messages, and padding may be of any bytes.
        let zeros = unsafe {
            header.write_bytes(0, 1);
            &mut (*header).msg_hdr
        };
        zeros.msg_name = to.as_ptr().cast_mut().cast();
        zeros.msg_namelen = to.len();
        zeros.msg_iov = part;
        zeros.msg_iovlen = 1;
        count += 1;
    }
    // SAFETY: the first `count` headers are written; each points at a name and a part that live as long as this call, and
    // the part at bytes that are borrowed for longer.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr().cast(), count, 0) };
    // Negative where it failed, and then only.
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Returns the flags of the mapping that `address` lies in, from smaps: `hg` stands for huge pages.
    fn flags(address: usize) -> Option<String> {
        let maps = std::fs::read_to_string("/proc/self/smaps").ok()?;
        let mut is_here = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            if let Some((from, to)) = range {
                let bound = |text| usize::from_str_radix(text, 16);
                if let (Ok(from), Ok(to)) = (bound(from), bound(to)) {
                    is_here = (from..to).contains(&address);
                }
            }
            if is_here && let Some(flags) = line.strip_prefix("VmFlags:") {
                return Some(flags.to_owned());
            }
        }
        None
    }

    #[test]
    fn tables_get_huge_pages_and_smaller_things_do_not() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            println!("SKIPPED: this kernel has no transparent huge pages");
            return;
        }
        for (size, is_table) in [(TABLE, true), (2 * TABLE, true), (TABLE - 1, false)] {
            let layout = Layout::from_size_align(size, 64).unwrap();
            // SAFETY: the size is not zero, and what is taken is given back once.
            let flags = unsafe {
                let memory = HugePages.alloc(layout);
                let flags = flags(memory as usize + size / 2).unwrap();
                HugePages.dealloc(memory, layout);
                flags
            };
            assert_eq!(flags.contains(" hg"), is_table, "{size}: {flags}");
        }
    }
}
