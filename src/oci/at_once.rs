//! Several transfers at once: a registry far away answers slowly, and not slower for four.

use super::Error;
use crate::parallel;

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
    parallel::each(WORKERS, items, || (), |(), item| work(item))
}
