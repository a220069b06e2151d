//! Owns: the prices of one model over time, and which of them is in force.
//! Refuses to know: what a price says (price) and who announces one (the book, settings).

use super::{PinnedPrice, PriceSheet};
use crate::base::Timestamp;
use std::sync::Arc;

/// Price sheets in the order in which they take effect. Empty: nobody knows what the model costs, which is never the same
/// as free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceHistory(Vec<Arc<PinnedPrice>>);

impl PriceHistory {
    /// Of two sheets from the same time on the later one holds.
    pub fn of<'a>(sheets: impl IntoIterator<Item = &'a PriceSheet>) -> Self {
        let mut versions: Vec<Arc<PinnedPrice>> = sheets.into_iter().map(PinnedPrice::of).collect();
        versions.sort_by_key(|version| version.sheet.effective_at_ms);
        Self(versions)
    }

    /// These prices, and from the first of the `later` ones on those alone.
    #[must_use]
    pub fn then(mut self, later: &Self) -> Self {
        if let Some(first) = later.0.first() {
            self.0.retain(|version| version.sheet.effective_at_ms < first.sheet.effective_at_ms);
            self.0.extend(later.0.iter().map(Arc::clone));
        }
        self
    }

    /// The sheet in force at `at`. `None`: there is none yet.
    pub fn at(&self, at: Timestamp) -> Option<&Arc<PinnedPrice>> {
        self.0.iter().rev().find(|version| version.sheet.effective_at() <= at)
    }

    /// What takes effect after `at`.
    pub fn after(&self, at: Timestamp) -> impl Iterator<Item = &Arc<PinnedPrice>> {
        self.0.iter().filter(move |version| version.sheet.effective_at() > at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::{Meter, PriceLine};

    fn sheet(effective_at_ms: i64, num: i64) -> PriceSheet {
        PriceSheet::new(vec![PriceLine::new(Meter::Request, num, 1)], "test".into(), effective_at_ms)
    }

    fn in_force(history: &PriceHistory, at: i64) -> Option<i64> {
        history.at(Timestamp(at)).map(|version| version.sheet.lines[0].num)
    }

    #[test]
    fn each_price_holds_until_the_next() {
        let history = PriceHistory::of(&[sheet(20, 2), sheet(10, 1), sheet(20, 3)]);
        assert_eq!([9, 10, 19, 20, 99].map(|at| in_force(&history, at)), [None, Some(1), Some(1), Some(3), Some(3)]);
        assert_eq!(history.after(Timestamp(10)).count(), 2);
        assert_eq!(in_force(&PriceHistory::default(), 99), None);
    }

    #[test]
    fn what_was_before_holds_until_the_first_of_the_later() {
        let book = PriceHistory::of(&[sheet(0, 1), sheet(30, 2)]);
        let both = book.clone().then(&PriceHistory::of(&[sheet(20, 7)]));
        assert_eq!([0, 20, 30].map(|at| in_force(&both, at)), [Some(1), Some(7), Some(7)]);
        assert_eq!(book.clone().then(&PriceHistory::default()), book);
    }
}
