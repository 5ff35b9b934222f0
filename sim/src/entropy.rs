//! The system's randomness, replaced for the threads of a simulation: libraries that seed their hash maps or draws from
//! `getrandom` get bytes that follow from the seed. Part of the binary only, and only of threads that called [`seed`];
//! every other thread goes on asking the system.

use std::cell::Cell;

thread_local! {
    /// Zero where nothing is replaced.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// From now on this thread's randomness follows from `seed`.
pub(crate) fn seed(seed: u64) {
    STATE.with(|state| state.set(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
}

/// Replaces libc's function of this name for the whole program; the linker prefers it.
///
/// # Safety
/// As libc's: `buffer` must be writable for `len` bytes.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) unsafe extern "C" fn getrandom(buffer: *mut u8, len: usize, flags: u32) -> isize {
    let state = STATE.try_with(Cell::get).unwrap_or(0);
    if state == 0 {
        // SAFETY: the caller's promise is passed on unchanged.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, len, flags) as isize };
    }
    // SAFETY: the caller promises that `buffer` is writable for `len` bytes.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, len) };
    let mut dice = sim::Dice::new(state);
    dice.fill(bytes);
    let _ = STATE.try_with(|cell| cell.set(dice.draw() | 1));
    len as isize
}
