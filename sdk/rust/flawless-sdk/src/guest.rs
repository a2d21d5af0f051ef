//! The exports of a guest.

use crate::run::{self, Mode};
use crate::workflow::{self, Body, Ending};
use crate::{executor, host, panic, reactor};

/// Runs once, before anything else.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    host::construct();
    panic::install();
    crate::log::install();
    #[cfg(feature = "tracing")]
    crate::tracing::install();
}

#[unsafe(no_mangle)]
extern "C" fn flawless_describe() {
    host::describe(&workflow::manifest(&workflow::all()));
}

#[unsafe(no_mangle)]
extern "C" fn flawless_start() {
    let head = run::told();
    let input = host::part(0, host::BODY);
    run::set_secrets(head.secrets);
    reactor::watch(host::call("cancelled", b"{}", b""));
    let found = workflow::find(&workflow::all(), &head.workflow);
    match found.map(|w| &w.body) {
        Err(message) => finish(Ending::error(message)),
        Ok(Body::Plain(f)) => {
            run::set(Mode::Plain);
            finish(f(&input));
        }
        Ok(Body::Async(f)) => {
            run::set(Mode::Async);
            let f = *f;
            let main = async move { finish(f(&input).await) };
            let label = format!("the workflow {:?}", head.workflow);
            executor::with(|e| e.spawn(Box::pin(main), label));
            go_on();
        }
    }
}

fn finish(ending: Ending) {
    run::set(Mode::Outside);
    let (ok, text) = ending.text();
    host::finish(ok, &text);
}

/// Continues after answers were delivered; the export `flawless_resume` of a module with async workflows.
pub fn resume() {
    reactor::deliver();
    go_on();
}

/// Runs until the guest is idle, and sets its next timer. While a dropped call has no answer, no task
/// continues: one might make the request again.
fn go_on() {
    let over = || run::mode() == Mode::Outside || reactor::abandoned();
    loop {
        executor::with(|e| e.run(over));
        if over() {
            return;
        }
        match reactor::next_timer() {
            None => return,
            Some(at) if at > host::now() => return host::wake_at(at),
            Some(_) => reactor::deliver(),
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn flawless_blocked() {
    let mut lines = executor::with(|e| e.labels());
    lines.extend(reactor::account());
    host::describe(lines.join("\n").as_bytes());
}

/// The implementation of `std::thread::sleep`. The one of the C library would return at once.
#[cfg(target_os = "wasi")]
mod thread_sleep {
    use std::time::{Duration, SystemTime};

    #[repr(C)]
    pub struct TimeSpec {
        seconds: i64,
        nanoseconds: i32,
    }

    const ABSOLUTE: i32 = 1;
    const INVALID: i32 = 28;

    /// # Safety
    /// `wanted` must point to a time.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn clock_nanosleep(
        _clock: *const u8,
        flags: i32,
        wanted: *const TimeSpec,
        _left: *mut TimeSpec,
    ) -> i32 {
        // SAFETY: the caller says so.
        let wanted = unsafe { &*wanted };
        let (Ok(seconds), Ok(nanoseconds)) = (
            u64::try_from(wanted.seconds),
            u32::try_from(wanted.nanoseconds),
        ) else {
            return INVALID;
        };
        let time =
            Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanoseconds.into()));
        let slept = crate::shielded(|| match flags & ABSOLUTE {
            0 => crate::sleep(time).wait(),
            _ => crate::sleep_until(SystemTime::UNIX_EPOCH + time).wait(),
        });
        slept.expect("std::thread::sleep needs a workflow");
        0
    }
}
