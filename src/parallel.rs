//! The same work on many things, on several threads.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// As many threads as there are cores.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Does `work` for each item, on so many threads at most; gives what came of it in the order of the items. Each thread has a
/// state of its own, made by `start`.
///
/// # Errors
/// The first in that order. After one has failed no other is begun.
pub fn each<'items, T: Sync, S, R: Send, E: Send>(
    threads: usize,
    items: &'items [T],
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &'items T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let (mut state, mut done) = (start(), Vec::new());
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(position) else { return done };
            let result = work(&mut state, item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            done.push((position, result));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(items.len())).map(|_| scope.spawn(worker)).collect();
        let mut done = worker();
        for other in others {
            match other.join() {
                Ok(part) => done.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(position, _)| *position);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Sorts on all cores.
pub fn sort<T: Send>(items: &mut [T], compare: impl Fn(&T, &T) -> std::cmp::Ordering + Sync) {
    let part = items.len().div_ceil(cores()).max(1);
    thread::scope(|scope| {
        for part in items.chunks_mut(part) {
            scope.spawn(|| part.sort_unstable_by(&compare));
        }
    });
    // This sort finds the sorted parts and merges them.
    items.sort_by(compare);
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREADS: usize = 4;

    #[test]
    fn the_results_are_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let wait = |two: &mut u64, item: &u64| {
            thread::sleep(std::time::Duration::from_micros(item * 7919 % 500));
            Ok::<_, ()>(*two * item)
        };
        let doubled = each(THREADS, &items, || 2, wait).expect("no failure");
        assert!(doubled.iter().zip(&items).all(|(double, item)| *double == 2 * item));
        assert_eq!(doubled.len(), items.len());
        assert!(each(THREADS, &[], || 2, wait).expect("nothing to do").is_empty());
    }

    #[test]
    fn after_a_failure_nothing_is_begun() {
        let items: Vec<u64> = (0..1000).collect();
        let begun = AtomicUsize::new(0);
        let fail = |(): &mut (), item: &u64| {
            begun.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(*item)
        };
        assert_eq!(each(THREADS, &items, || (), fail), Err(0));
        assert!(begun.into_inner() <= THREADS);
    }
}
