//! The host functions of a guest. None of them keeps a pointer after it has returned.

mod import {
    #[link(wasm_import_module = "flawless")]
    unsafe extern "C" {
        pub fn call(
            kind: *const u8,
            kind_len: usize,
            head: *const u8,
            head_len: usize,
            body: *const u8,
            body_len: usize,
        ) -> i32;
        pub fn answer(call: i32, part: i32, ptr: *mut u8, len: usize) -> i32;
        pub fn wait(calls: *const i32, n: usize) -> i32;
        pub fn finish(ok: i32, ptr: *const u8, len: usize);
        pub fn describe(ptr: *const u8, len: usize);
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn clock_time_get(clock: i32, precision: i64, time: *mut u64) -> i32;
        pub fn random_get(ptr: *mut u8, len: usize) -> i32;
        pub fn fd_close(fd: i32) -> i32;
        pub fn fd_write(fd: i32, buffers: *const Buffer, n: usize, written: *mut usize) -> i32;
        pub fn poll_oneoff(
            wanted: *const Subscription,
            events: *mut Event,
            n: usize,
            count: *mut usize,
        ) -> i32;
    }

    #[repr(C)]
    pub struct Buffer {
        pub ptr: *const u8,
        pub len: usize,
    }

    /// A subscription of poll_oneoff. For a descriptor, `id` is its number and the rest is zero.
    #[repr(C)]
    #[derive(Default)]
    pub struct Subscription {
        pub user: u64,
        pub kind: u64,
        pub id: u64,
        pub timeout: u64,
        pub precision: u64,
        pub flags: u64,
    }

    #[repr(C)]
    #[derive(Default)]
    pub struct Event(pub [u64; 4]);

    unsafe extern "C" {
        pub fn __wasm_call_ctors();
    }
}

const IDLE: u64 = 999_999;
const CALLS: i32 = 1_000_000;
const CLOCK: u64 = 0;
const READ: u64 = 1;
const ABSOLUTE: u64 = 1;

/// Makes a call, or takes down a note. Returns the call's number.
pub(crate) fn call(kind: &str, head: &[u8], body: &[u8]) -> i32 {
    // SAFETY: pointers and lengths are those of live slices.
    unsafe {
        import::call(
            kind.as_ptr(),
            kind.len(),
            head.as_ptr(),
            head.len(),
            body.as_ptr(),
            body.len(),
        )
    }
}

/// Tells whether the answer of a call was handed over.
pub(crate) fn answered(call: i32) -> bool {
    // SAFETY: nothing is written to an empty buffer.
    unsafe { import::answer(call, super::HEAD, core::ptr::null_mut(), 0) >= 0 }
}

/// Returns a part of an answer that is there, and nothing of one that is not.
pub(crate) fn part(call: i32, part: i32) -> Vec<u8> {
    let mut room = vec![0; 512];
    loop {
        // SAFETY: room has room.len() bytes.
        let size = unsafe { import::answer(call, part, room.as_mut_ptr(), room.len()) };
        let size = usize::try_from(size).unwrap_or(0);
        let fits = size <= room.len();
        room.resize(size, 0);
        if fits {
            return room;
        }
    }
}

/// Blocks until one of the calls has an answer.
pub(crate) fn wait(calls: &[i32]) {
    // SAFETY: the pointer is that of calls.len() numbers.
    unsafe { import::wait(calls.as_ptr(), calls.len()) };
}

/// Ends the run.
pub(crate) fn finish(ok: bool, text: &[u8]) {
    // SAFETY: pointer and length are those of a live slice.
    unsafe { import::finish(ok.into(), text.as_ptr(), text.len()) }
}

/// Hands over the manifest, or where the guest is blocked.
pub(crate) fn describe(text: &[u8]) {
    // SAFETY: pointer and length are those of a live slice.
    unsafe { import::describe(text.as_ptr(), text.len()) }
}

/// Returns the run's time in nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    let mut time = 0;
    // SAFETY: time has 8 bytes.
    unsafe { import::clock_time_get(0, 1, &mut time) };
    time as i64
}

/// Fills a buffer from the run's randomness.
pub(crate) fn random(bytes: &mut [u8]) {
    // SAFETY: pointer and length are those of a live slice.
    unsafe { import::random_get(bytes.as_mut_ptr(), bytes.len()) };
}

/// Tells the engine that nobody will ask for the answer of a call any more.
pub(crate) fn forget(call: i32) {
    // SAFETY: it takes a number.
    unsafe { import::fd_close(CALLS + call) };
}

/// Writes a line to standard error.
pub(crate) fn complain(line: &str) {
    let line = format!("{line}\n");
    let buffer = import::Buffer {
        ptr: line.as_ptr(),
        len: line.len(),
    };
    let mut written = 0;
    // SAFETY: there is one buffer, and it is that of a live string.
    unsafe { import::fd_write(2, &buffer, 1, &mut written) };
}

/// Says when the guest wants to be woken, in nanoseconds since 1970. It is the last thing in a turn.
pub(crate) fn wake_at(time: i64) {
    let wanted = [
        import::Subscription {
            kind: READ,
            id: IDLE,
            ..Default::default()
        },
        import::Subscription {
            kind: CLOCK,
            timeout: time as u64,
            flags: ABSOLUTE,
            ..Default::default()
        },
    ];
    let mut events = [import::Event::default(), import::Event::default()];
    let mut count = 0;
    // SAFETY: there are two subscriptions, and room for two events.
    unsafe {
        import::poll_oneoff(
            wanted.as_ptr(),
            events.as_mut_ptr(),
            wanted.len(),
            &mut count,
        )
    };
}

/// Runs what has to be run before anything else.
pub(crate) fn construct() {
    // SAFETY: it is called once, by _initialize.
    unsafe { import::__wasm_call_ctors() }
}
