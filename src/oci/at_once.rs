//! Several transfers at once: a registry far away answers slowly, and not slower for four.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Error;

/// So many; registries slow down whoever takes more.
const WORKERS: usize = 4;

/// Does `work` for each item, a few at once; gives what came of it in the order of the items.
///
/// # Errors
/// The first in that order. After one has failed no other is begun.
pub(super) fn each<'items, T: Sync, R: Send>(
    items: &'items [T],
    work: impl Fn(&'items T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(position) else { return done };
            let result = work(item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            done.push((position, result));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS.min(items.len())).map(|_| scope.spawn(worker)).collect();
        let mut done = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(part) => done.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(position, _)| *position);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_are_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let found = each(&items, |item| {
            std::thread::sleep(std::time::Duration::from_micros(item * 7919 % 500));
            Ok(*item)
        });
        assert_eq!(found.expect("no failure"), items);
        assert!(each(&[] as &[u64], |item| Ok(*item)).expect("nothing to do").is_empty());
    }

    #[test]
    fn after_a_failure_nothing_is_begun() {
        let items: Vec<u64> = (0..1000).collect();
        let begun = AtomicUsize::new(0);
        let failed = each(&items, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(Error::NoTag { reference: item.to_string() })
        });
        assert!(failed.is_err());
        assert!(begun.into_inner() <= WORKERS);
    }
}
