//! The waker that an HTTP/1.1 connection is driven with.
//!
//! A connection wakes its driver for much that the driver sees anyway: the request it was just given,
//! the response it just handed over. Each such call would poll the driver's whole task once more; and a
//! kept connection would call whoever drove it last, who has nothing to do with it any more. So nobody
//! is called while the connection is driven, nor while it is idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Calls are heard by [`Ringing::driver`].
const LOUD: u8 = 0;
/// Calls are only remembered.
const HUSHED: u8 = 1;
/// One was.
const RANG: u8 = 2;

/// The waker of one connection.
#[derive(Debug)]
pub(super) struct Bell {
    ringing: Arc<Ringing>,
    /// Of `ringing`: the same one always, so that what keeps it need not change it.
    waker: Waker,
}

#[derive(Debug)]
struct Ringing {
    state: AtomicU8,
    driver: AtomicWaker,
}

impl Bell {
    /// A hushed one.
    pub(super) fn new() -> Self {
        let ringing = Arc::new(Ringing {
            state: AtomicU8::new(HUSHED),
            driver: AtomicWaker::new(),
        });
        let waker = Waker::from(Arc::clone(&ringing));
        Self { ringing, waker }
    }

    /// What the connection is driven with. Hushes the bell and forgets that it rang: who drives now
    /// sees why.
    pub(super) fn hush(&self) -> Context<'_> {
        self.ringing.state.store(HUSHED, Ordering::Release);
        Context::from_waker(&self.waker)
    }

    /// Calls this task from now on; at once, if the bell rang since it was hushed.
    pub(super) fn call(&self, task: &Context<'_>) {
        self.ringing.driver.register(task.waker());
        if self.ringing.state.swap(LOUD, Ordering::AcqRel) == RANG {
            task.waker().wake_by_ref();
        }
    }
}

impl Wake for Ringing {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let hushed = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                (state != LOUD).then_some(RANG)
            });
        if hushed.is_err() {
            self.driver.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn task() -> (Arc<Task>, Waker) {
        let task = Arc::new(Task::default());
        (Arc::clone(&task), Waker::from(task))
    }

    fn calls(task: &Task) -> usize {
        task.0.load(Ordering::SeqCst)
    }

    #[test]
    fn a_call_while_driven_is_made_up_for_and_one_from_before_is_not() {
        let (task, waker) = task();
        let bell = Bell::new();
        bell.waker.wake_by_ref();
        let _driven = bell.hush();
        bell.call(&Context::from_waker(&waker));
        assert_eq!(calls(&task), 0, "it rang before");
        bell.waker.wake_by_ref();
        assert_eq!(calls(&task), 1);

        let driven = bell.hush();
        driven.waker().wake_by_ref();
        bell.waker.wake_by_ref();
        assert_eq!(calls(&task), 1, "it is being driven");
        bell.call(&Context::from_waker(&waker));
        assert_eq!(calls(&task), 2);
    }

    #[test]
    fn only_who_drives_is_called() {
        let ((first, its), (second, others)) = (task(), task());
        let bell = Bell::new();
        let _driven = bell.hush();
        bell.call(&Context::from_waker(&its));
        let _driven = bell.hush();
        bell.waker.wake_by_ref();
        let _driven = bell.hush();
        bell.call(&Context::from_waker(&others));
        bell.waker.wake_by_ref();
        assert_eq!((calls(&first), calls(&second)), (0, 1));
    }
}
