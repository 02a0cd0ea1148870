//! Numbers whose type holds their limits.

/// A whole number from `MIN` to `MAX`, both included. Checked once, when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ranged<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Ranged<MIN, MAX> {
    /// The smallest value allowed.
    pub const MIN: u32 = MIN;
    /// The largest value allowed.
    pub const MAX: u32 = MAX;

    /// Takes a value if it is in range.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if MIN <= value && value <= MAX { Some(Self(value)) } else { None }
    }

    /// Takes a value that is known when the program is compiled; one out of range does not compile.
    #[must_use]
    pub const fn constant<const VALUE: u32>() -> Self {
        const { assert!(MIN <= VALUE && VALUE <= MAX) };
        Self(VALUE)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_in_range_and_their_neighbours_are_not() {
        type Three = Ranged<3, 5>;
        let taken: Vec<Option<u32>> = (2..=6).map(|value| Three::new(value).map(Three::get)).collect();
        assert_eq!(taken, [None, Some(3), Some(4), Some(5), None]);
    }
}
