//! The same work on many things, on as many threads as there are cores.

use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What `work` makes of each item, in their order. Each thread has a state of its own, made by `start`.
pub fn map<T: Sync, S, R: Send + Sync>(
    items: &[T],
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> R + Sync,
) -> Vec<R> {
    let done: Vec<OnceLock<R>> = items.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let run = || {
        let mut state = start();
        while let Some((item, place)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            items.get(index).zip(done.get(index))
        } {
            let _ = place.set(work(&mut state, item));
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    done.into_iter().filter_map(OnceLock::into_inner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        let doubled = map(&items, || 2, |two, item| *two * item);
        assert!(doubled.iter().zip(&items).all(|(double, item)| *double == 2 * item));
        assert_eq!(doubled.len(), items.len());
        assert!(map(&[], || (), |(), item: &u32| *item).is_empty());
    }
}
