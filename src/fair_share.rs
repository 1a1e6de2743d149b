//! Something limited that tenants share, such as places in a queue or bytes of memory: none of them can take so much that nothing
//! is left for others.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::auth::Caller;

/// How many times as much as is free a tenant may have while it is alone, and while it is not. Alone it gets three quarters of all.
/// With dynamic thresholds (A. K. Choudhury and E. L. Hahne, "Dynamic queue length thresholds for shared-memory packet switches",
/// 1998) nobody needs to know how many tenants there are, and a part stays free for the next.
const THRESHOLD_ALONE: usize = 3;
const THRESHOLD: usize = 1;

/// Who is served: a business, or a caller that is not bound to one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Tenant {
    /// A business, however many keys it has.
    Business(String),
    /// A caller.
    Caller(Caller),
}

/// A limited amount of something. Clones share it.
#[derive(Debug, Clone)]
pub struct FairShare(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_tenant: HashMap<Tenant, usize>,
}

/// What a tenant has taken, until it is dropped.
#[derive(Debug)]
pub struct Share {
    of: FairShare,
    tenant: Tenant,
    amount: usize,
}

impl FairShare {
    /// Creates a share of `max` in all.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Inner { max, taken: Mutex::default() }))
    }

    /// Takes `amount` for `tenant`; `None` if that is more than is left for it.
    #[must_use]
    pub fn take(&self, tenant: Tenant, amount: usize) -> Option<Share> {
        self.add(&tenant, amount).then(|| Share { of: self.clone(), tenant, amount })
    }

    fn add(&self, tenant: &Tenant, amount: usize) -> bool {
        let mut taken = self.0.taken.lock();
        let free = self.0.max - taken.all;
        let own = taken.by_tenant.get(tenant).copied().unwrap_or(0);
        let threshold = if own == taken.all { THRESHOLD_ALONE } else { THRESHOLD };
        if amount > free || own >= free.saturating_mul(threshold) {
            return false;
        }
        taken.all += amount;
        *taken.by_tenant.entry(tenant.clone()).or_default() += amount;
        true
    }
}

impl Share {
    /// Takes `amount` more. Returns whether it was left.
    #[must_use]
    pub fn grow(&mut self, amount: usize) -> bool {
        let is_left = self.of.add(&self.tenant, amount);
        self.amount += if is_left { amount } else { 0 };
        is_left
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.of.0.taken.lock();
        taken.all -= self.amount;
        if let Some(own) = taken.by_tenant.get_mut(&self.tenant) {
            *own -= self.amount;
            if *own == 0 {
                taken.by_tenant.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::Business(name.to_owned())
    }

    /// Takes one at a time for `name` until nothing is left for it.
    fn take_all(share: &FairShare, name: &str) -> Vec<Share> {
        std::iter::from_fn(|| share.take(tenant(name), 1)).collect()
    }

    #[test]
    fn something_is_always_left_for_the_next_tenant() {
        let places = FairShare::new(2_048);
        let first = take_all(&places, "first");
        assert_eq!(first.len(), 1_536);
        let others: Vec<_> = (0..8).map(|n| take_all(&places, &n.to_string())).collect();
        assert!(others.iter().all(|own| !own.is_empty()));
        drop((first, others));
        assert_eq!(places.0.taken.lock().all, 0);
        assert_eq!(take_all(&places, "next").len(), 1_536);
    }

    #[test]
    fn the_only_one_can_be_taken() {
        let places = FairShare::new(1);
        let mut only = places.take(tenant("a"), 1).unwrap();
        assert!(places.take(tenant("b"), 1).is_none());
        assert!(!only.grow(1));
        drop(only);
        assert!(places.take(tenant("b"), 1).is_some());
    }
}
