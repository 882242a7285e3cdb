//! Requests to a store that may be far away, several at a time. They are few, so that each has a thread of its own from the
//! first; thousands, shared out among some threads, are what upkeep has.

/// So many threads wait at once. A store's client has about as many connections.
const AT_ONCE: usize = 20;

/// Does the same with each, many at a time; what comes of it is in the order of the items.
pub(crate) fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let work = &work;
    let mut done = Vec::new();
    for some in items.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let begun: Vec<_> = some.iter().map(|item| scope.spawn(move || work(item))).collect();
            let ended = begun.into_iter().map(std::thread::ScopedJoinHandle::join);
            done.extend(ended.map(|one| one.unwrap_or_else(|panic| std::panic::resume_unwind(panic))));
        });
    }
    done
}
