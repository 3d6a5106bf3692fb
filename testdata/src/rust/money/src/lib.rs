//! An amount of money.

/// Cents.
#[derive(Clone, Copy)]
pub struct Money(u32);

impl Money {
    /// That many cents.
    pub fn of(cents: u32) -> Self {
        Self(cents)
    }

    /// The amount in cents.
    pub fn cents(self) -> u32 {
        self.0
    }

    /// The sum of two amounts.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}
