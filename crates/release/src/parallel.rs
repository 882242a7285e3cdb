//! Requests to a store that may be far away, several at a time.

/// As many requests to a store as are under way at once.
pub(crate) const THREADS: usize = 16;

/// The work for each of many, on several threads; answers in the order given.
pub(crate) fn in_parallel<T: Sync, R: Send>(many: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if many.len() < THREADS {
        return many.iter().map(work).collect();
    }
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = many
            .chunks(many.len().div_ceil(THREADS))
            .map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<R>>()))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<R>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().flat_map(join).collect()
    })
}
